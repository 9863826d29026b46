"""TNL2K's sequences, wherever a copy has them, and the sentences that describe their targets."""

import logging
from pathlib import Path

import numpy as np
import pytest
from miniatures import write_boxes, write_frames
from one_sequence import names_of, read_one, refused

from lib.data.datasets.tnl2k import TNL2K_NAMES
from lib.data.types import SHORTFALL

TEST, TRAIN = (TNL2K_NAMES[split]() for split in ("test", "train"))
NAME = TEST[0]


def write_tnl2k(root: Path, pattern: str = "%05d.png", name: str = NAME) -> np.ndarray:
    boxes = write_frames(root / name / "imgs", pattern, 1, 3)
    write_boxes(root / name / "groundtruth.txt", boxes)
    (root / name / "language.txt").write_text("the man with a black hat \nsecond line\n")
    return boxes


def test_the_lists_are_the_published_ones(tmp_path):
    for names, count in ((TEST, 700), (TRAIN, 1300)):
        assert len(names) == len(set(names)) == count
    assert set(TEST) & set(TRAIN) == {"monitor_manypeople"}
    assert names_of("tnl2k", "test", tmp_path) == TEST
    assert names_of("tnl2k", "train", tmp_path) == TRAIN


@pytest.mark.parametrize("folder", [".", "test", "TNL2K_test_subset", "TNL2K_test_subset/part_1", "part_1"])
def test_a_sequence_is_found_in_any_copy(tmp_path, caplog, folder):
    boxes = write_tnl2k(tmp_path / folder)
    with caplog.at_level(logging.INFO, "lib"):
        sequence = read_one("tnl2k", "test", tmp_path, NAME)
    np.testing.assert_array_equal(sequence.boxes, boxes)
    assert sequence.frames[0] == tmp_path / folder / NAME / "imgs" / "00001.png"
    assert sequence.meta == {"language": "the man with a black hat"} and sequence.absent is None
    assert "the test sequences of TNL2K lie in " in caplog.text


def test_images_of_any_kind_are_taken_in_the_order_of_their_numbers(tmp_path):
    write_tnl2k(tmp_path, "img_%d.JPG")
    images = tmp_path / NAME / "imgs"
    (images / "img_3.JPG").rename(images / "img_10.jpg")
    (images / "Thumbs.db").touch()
    sequence = read_one("tnl2k", "test", tmp_path, NAME)
    assert [frame.name for frame in sequence.frames] == ["img_1.JPG", "img_2.JPG", "img_10.jpg"]
    assert "img_10.jpg follows img_2.JPG: 7 frame(s) of it are lost" in sequence.meta[SHORTFALL]


def test_a_sequence_may_lack_its_sentence(tmp_path):
    write_tnl2k(tmp_path)
    (tmp_path / NAME / "language.txt").unlink()
    assert read_one("tnl2k", "test", tmp_path, NAME).meta == {}


def test_folders_spelled_otherwise_stand_for_missing_ones_and_it_is_said(tmp_path, caplog, monkeypatch):
    monkeypatch.setitem(TNL2K_NAMES, "test", lambda: ["a", "b", "c"])
    for name in ("c", "another_A", "another_B", TRAIN[0]):
        (tmp_path / "test" / name / "imgs").mkdir(parents=True)
    with caplog.at_level(logging.INFO, "lib"):
        assert names_of("tnl2k", "test", tmp_path) == ["c", "another_A", "another_B"]
    assert "2 listed sequences are not there (a, b); taken for them: another_A, another_B" in caplog.text


def test_broken_copies(tmp_path):
    refused("tnl2k", "test", tmp_path, f"{NAME}/imgs: No such file")
    (tmp_path / NAME / "imgs").mkdir(parents=True)
    refused("tnl2k", "test", tmp_path, f"{NAME}/imgs: no images there")
    write_tnl2k(tmp_path)
    write_boxes(tmp_path / NAME / "groundtruth.txt", np.ones((4, 4)))
    refused("tnl2k", "test", tmp_path, rf"{NAME}/groundtruth\.txt: 4 rows, but its sequence needs 3")
    refused("tnl2k", "test", tmp_path / "nothing", "nothing: No such file")
