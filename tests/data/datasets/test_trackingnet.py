"""TrackingNet's layout in miniature, its chunks, and what is wrong with a broken copy."""

from pathlib import Path

import numpy as np
import pytest
from miniatures import moving_boxes, write_trackingnet
from one_sequence import read_dataset

from lib.data.datasets import trackingnet
from lib.data.datasets.registry import DATASETS
from lib.data.files.source import Source
from lib.data.types import Sequence


def read(root: Path, split: str) -> list[Sequence]:
    return read_dataset("trackingnet", split, root)


def write_chunks(root: Path, chunks: range | list[int]) -> Path:
    """One video of two frames in each chunk."""
    return write_trackingnet(root, {f"TRAIN_{chunk}": {f"video_{chunk}": 2} for chunk in chunks})


def test_a_training_video_is_read_whole(tmp_path):
    write_trackingnet(tmp_path, {"TRAIN_4": {"-FCJqWfi9Wo_0": 13, "a.b_1": 5}})
    (tmp_path / "TRAIN_4" / "anno" / "a.b_1.txt").write_text("1,2,3,4\n1.5,-2,0,4\n1,2,3,0\n1,2,-3,4\nnan,2,3,4\n")
    first, second = read(tmp_path, "train_4")
    assert (first.name, first.dataset, first.image_set, len(first)) == ("-FCJqWfi9Wo_0", "trackingnet", False, 13)
    folder = tmp_path / "TRAIN_4" / "frames" / "-FCJqWfi9Wo_0"
    assert list(first.frames) == [folder / f"{number}.jpg" for number in range(13)]
    assert all(frame.exists() for frame in first.frames)
    np.testing.assert_array_equal(first.boxes, moving_boxes(13))
    assert first.visible.all() and first.absent is None and first.cover is None
    assert second.name == "a.b_1"
    np.testing.assert_array_equal(second.boxes[1], [1.5, -2, 0, 4])
    np.testing.assert_array_equal(second.visible, [True, False, False, False, False])


def test_training_asks_for_no_listing_of_frames(tmp_path):
    """30,132 folders are not listed: the rows count the frames, and the check of a dataset looks for each."""
    write_chunks(tmp_path, [0])
    source = Source(tmp_path)
    (entry,) = DATASETS["trackingnet"].entries(source, "train_0")
    assert len(entry.read()) == 2
    assert set(source.stamps) == {"TRAIN_0", "TRAIN_0/anno", "TRAIN_0/anno/video_0.txt"}


def test_test_frames_are_in_numeric_order_with_one_box(tmp_path):
    write_trackingnet(tmp_path, {"TEST": {"0-6LB4FqxoE_0": 12}})
    (sequence,) = read(tmp_path, "test")
    assert [frame.name for frame in sequence.frames] == [f"{number}.jpg" for number in range(12)]
    np.testing.assert_array_equal(sequence.boxes, moving_boxes(1))
    np.testing.assert_array_equal(sequence.visible, [True])
    sequence.frames[0].unlink()
    with pytest.raises(ValueError, match=r"frames/0-6LB4FqxoE_0: the first frame is 1\.jpg, not number 0;"):
        read(tmp_path, "test")


def test_videos_are_the_texts_sorted_by_name_chunk_by_chunk(tmp_path):
    write_trackingnet(tmp_path, {"TRAIN_10": {"a_0": 1}, "TRAIN_2": {"z_0": 1, "b_0": 1, "B_0": 1}})
    anno = tmp_path / "TRAIN_2" / "anno"
    (anno / "._b_0.txt").write_bytes(bytes(20))
    (anno / "README.md").touch()
    (tmp_path / "TRAIN_2" / "zips").mkdir()
    assert [sequence.name for sequence in read(tmp_path, "train_2,10")] == ["B_0", "b_0", "z_0", "a_0"]


@pytest.mark.parametrize(
    ("split", "chunks"),
    [("train", range(12)), ("train_0-3", range(4)), ("train_11", [11]), ("train_5-5", [5]), ("train_7,0-1", [0, 1, 7])],
)
def test_splits_are_chunks(tmp_path, split, chunks):
    write_chunks(tmp_path, range(12))
    assert [sequence.name for sequence in read(tmp_path, split)] == [f"video_{chunk}" for chunk in chunks]


@pytest.mark.parametrize(
    "split", ["val", "train_", "train_12", "train_3-1", "train_0-12", "train_a", "train4", "TRAIN_0"]
)
def test_unknown_splits(tmp_path, split):
    message = (
        rf"^trackingnet has no split '{split}'; its splits are: train, test, and chunks 0 to 11 as train_4, train_0-3 "
    )
    with pytest.raises(ValueError, match=message):
        read(tmp_path, split)


def test_missing_chunks_are_named_and_some_may_be_read_alone(tmp_path):
    there = [0, 1, 2, 4, 5, 6, 7, 8, 9, 11]
    write_chunks(tmp_path, there)
    (tmp_path / "TRAIN_10").symlink_to(tmp_path / "TRAIN_10")
    with pytest.raises(ValueError, match=f"^{tmp_path}: has no TRAIN_3, TRAIN_10; unpack what is missing, .* or name"):
        read(tmp_path, "train")
    assert [sequence.name for sequence in read(tmp_path, "train_0-2,4-9,11")] == [f"video_{chunk}" for chunk in there]


def test_a_root_without_chunks(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path}: has no TRAIN_3; unpack .* set its path to their folder"):
        read(tmp_path, "train_3")
    with pytest.raises(ValueError, match="TEST/anno: No such file or directory; check the dataset's path"):
        read(tmp_path, "test")
    (tmp_path / "TEST" / "anno").mkdir(parents=True)
    with pytest.raises(ValueError, match="holds no sequence of trackingnet test in a layout"):
        read(tmp_path, "test")


def test_the_published_counts():
    names = list(DATASETS["trackingnet"].names["test"]())
    expected = DATASETS["trackingnet"].expected
    assert len(names) == len(set(names)) == DATASETS["trackingnet"].count("test") == 511
    assert names == sorted(names)
    # The TrackingNet paper counts 30,132 training videos.
    assert sum(expected[f"train_{chunk}"] for chunk in trackingnet.CHUNKS) == expected["train"] == 30132
    assert sum(expected[f"train_{chunk}"] for chunk in range(4)) == expected["train_0-3"]
