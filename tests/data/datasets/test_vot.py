"""VOT-style folders: old and new layouts, every kind of region, flags, several objects, broken copies."""

import logging
from pathlib import Path

import numpy as np
import pytest
from miniatures import moving_boxes, write_boxes, write_frames
from one_sequence import names_of, read_one, refused

from lib.data.datasets.annotations import package_names
from lib.data.datasets.registry import DATASETS

OFFICIAL = {year: package_names(f"{year}.txt") for year in ("vot2018", "vot2020", "vot2022")}


def write_vot(
    root: Path, count: int = 6, name: str = "ants1", folder: str = "color", pattern: str = "%08d.jpg"
) -> Path:
    """A set of one sequence without a ``sequence`` file; the sequence's folder."""
    write_boxes(root / name / "groundtruth.txt", write_frames(root / name / folder, pattern, 1, count))
    (root / "list.txt").write_text(f"{name}\n")
    return root / name


@pytest.mark.parametrize(("name", "count"), [("vot18", 60), ("vot20", 60), ("vot22", 62)])
def test_the_lists_are_the_published_ones(tmp_path, caplog, name, count):
    [split] = DATASETS[name].splits
    assert len(OFFICIAL[split]) == len(set(OFFICIAL[split])) == count == DATASETS[name].count(split)
    (tmp_path / "list.txt").write_text("\n".join(OFFICIAL[split]) + "\n")
    with caplog.at_level(logging.INFO, "lib"):
        assert names_of(name, split, tmp_path) == OFFICIAL[split]
    assert caplog.text == ""


def test_the_list_there_decides(tmp_path):
    (tmp_path / "list.txt").write_text("\ufeffmy_video\nants1\n\n")
    assert names_of("vot18", "vot2018", tmp_path) == ["my_video", "ants1"]


def test_the_old_layout(tmp_path):
    write_vot(tmp_path)
    sequence = read_one("vot18", "vot2018", tmp_path, "ants1")
    assert sequence.frames[5] == tmp_path / "ants1" / "color" / "00000006.jpg"
    np.testing.assert_array_equal(sequence.boxes, moving_boxes(6))
    assert sequence.visible.all() and sequence.absent is None


def test_images_beside_the_boxes(tmp_path):
    write_vot(tmp_path, folder=".")
    assert len(read_one("vot18", "vot2018", tmp_path, "ants1")) == 6


def test_a_lost_frame_does_not_end_a_sequence_whose_length_is_not_stated(tmp_path):
    folder = write_vot(tmp_path)
    (folder / "color" / "00000000.jpg").touch()  # frames count from 1
    assert len(read_one("vot18", "vot2018", tmp_path, "ants1")) == 6
    write_boxes(folder / "groundtruth.txt", moving_boxes(1))
    (folder / "color" / "00000004.jpg").unlink()
    refused("vot18", "vot2018", tmp_path, r"ants1/color: 00000005\.jpg follows 00000003\.jpg: 1 frame")
    (folder / "color" / "00000001.jpg").unlink()
    refused("vot18", "vot2018", tmp_path, r"ants1/color: the first frame is 00000002\.jpg, not number 1")


@pytest.mark.parametrize(("channel", "folder", "pattern"), [
    ("channels.color=color/%08d.jpg", "color", "%08d.jpg"),
    ("channels.color=rgb\\%06d.png", "rgb", "%06d.png"),
    ("channels.ir=ir/", "ir", "%08d.jpg"),
    ("channels.depth=depth/%d.png\nchannels.color=color", "color", "%08d.jpg"),
    ("channels.color=%08d.jpg", ".", "%08d.jpg"),
    ("", "color", "%08d.jpg"),
])  # fmt: skip
def test_the_sequence_file_says_where_images_are(tmp_path, channel, folder, pattern):
    write_vot(tmp_path, folder=folder, pattern=pattern)
    (tmp_path / "ants1" / "sequence").write_text(f"name=ants1\n{channel}\n")
    sequence = read_one("vot22", "vot2022", tmp_path, "ants1")
    assert sequence.frames[0] == tmp_path / "ants1" / folder / (pattern % 1)
    assert len(sequence) == 6


def test_length_and_boxes_file_of_the_sequence_file(tmp_path):
    folder = write_vot(tmp_path)
    (folder / "groundtruth.txt").rename(folder / "boxes.txt")
    write_boxes(folder / "boxes.txt", moving_boxes(3))
    (folder / "sequence").write_text("length=4\ngroundtruth=boxes.txt\n")
    sequence = read_one("vot22", "vot2022", tmp_path, "ants1")
    assert len(sequence) == 4  # rows that are missing are frames without a box
    np.testing.assert_array_equal(sequence.boxes, [*moving_boxes(3), [np.nan] * 4])
    np.testing.assert_array_equal(sequence.visible, [True, True, True, False])


@pytest.mark.parametrize("separator", [",", " "])
def test_every_kind_of_region(tmp_path, separator):
    folder = write_vot(tmp_path)
    rows = ["1,2,3,4", "0,0,10,1,9,8,1,7", "0", "m5,6,4,2,1,2,2,2", "nan,nan,nan,nan", "1,2,3,0"]
    text = "\ufeff" + "\r\n".join(row.replace(",", separator) for row in rows)
    (folder / "groundtruth.txt").write_text(text + "\n")
    sequence = read_one("vot20", "vot2020", tmp_path, "ants1")
    nan = [np.nan] * 4
    np.testing.assert_array_equal(sequence.boxes, [[1, 2, 3, 4], [0, 0, 10, 8], nan, [6, 6, 2, 2], nan, [1, 2, 3, 0]])
    np.testing.assert_array_equal(sequence.visible, [True, True, False, True, False, False])


def test_frames_are_absent_by_two_flags_alone(tmp_path):
    folder = write_vot(tmp_path)
    (folder / "occlusion.tag").write_text("1\n1\n1\n0\n1\n")
    (folder / "practical.value").write_text("0.5\n1\n")
    (folder / "out_of_view.label").write_text("0\n0\n0\n0\n1\n")  # short: filled with 0
    (folder / "full_occlusion.tag").write_text("0\n0\n1\n0\n0\n0\n1\n1\n")  # long: cut
    sequence = read_one("vot18", "vot2018", tmp_path, "ants1")
    np.testing.assert_array_equal(np.flatnonzero(sequence.absent), [2, 4])
    np.testing.assert_array_equal(np.flatnonzero(~sequence.visible), [2, 4])


def test_several_objects_are_several_sequences(tmp_path, caplog):
    folder = write_vot(tmp_path)
    (folder / "groundtruth.txt").unlink()
    for number in (1, 2, 10):
        write_boxes(folder / f"groundtruth_{number}.txt", moving_boxes(6) + number)
    (folder / "groundtruth_2.txt").write_text("0\nnan\n1,2,3,4\n5,6,7,8\n")  # appears in the third frame
    (folder / "full_occlusion.tag").write_text("1\n0\n1\n")
    assert names_of("vot22", "vot2022", tmp_path) == ["ants1_1", "ants1_2", "ants1_10"]
    np.testing.assert_array_equal(read_one("vot22", "vot2022", tmp_path, "ants1_10").boxes, moving_boxes(6) + 10)
    with caplog.at_level(logging.INFO, "lib"):
        late = read_one("vot22", "vot2022", tmp_path, "ants1_2")
    assert "ants1: ants1_2 begins at frame 2, the first with a box" in caplog.text
    assert [frame.name for frame in late.frames] == [f"{number:08d}.jpg" for number in (3, 4, 5, 6)]
    np.testing.assert_array_equal(late.boxes[:2], [[1, 2, 3, 4], [5, 6, 7, 8]])
    np.testing.assert_array_equal(late.absent, [True, False, False, False])
    np.testing.assert_array_equal(late.visible, [False, True, False, False])


@pytest.mark.parametrize(("file", "text", "message"), [
    ("list.txt", None, r"list\.txt: No such file"),
    ("list.txt", "\n", "holds no sequence of vot18 vot2018 in a layout"),
    ("ants1", None, "ants1.*: No such file"),
    ("ants1/color", None, r"ants1: no images \(00000001\.jpg \.\.\.\)"),
    ("ants1/color/00000006.jpg", None, r"groundtruth\.txt: 6 rows, but its sequence has 5 images"),
    ("ants1/sequence", "channels.color=color/%s.jpg\n", r"sequence: 'color/%s\.jpg' is no pattern of images such as"),
    ("ants1/out_of_view.tag", "0\n2\n", r"ants1/out_of_view\.tag: holds 2, not only 0 to 1"),
    ("ants1/groundtruth.txt", None, r"ants1/groundtruth\.txt: No such file"),
    ("ants1/groundtruth.txt", "1,2,3,4\n" * 5 + "m5,6,4,2,1,2,2", "line 6 is 'm5,6,4,2,1,2,2', cut short; unpack"),
    ("ants1/groundtruth.txt", "1,2,3,2,3,4,1,4\n" * 5 + "1,2,3,2,3,4", "line 6 is '1,2,3,2,3,4', cut short"),
    ("ants1/groundtruth.txt", "1,2,3,44\n1,2,3,4", "line 2 is '1,2,3,4', cut short; unpack"),
    ("ants1/groundtruth.txt", "0\nnan\n", "ants1: no frame of ants1 has a box"),
    ("ants1/groundtruth.txt", "1,2,3,4\n1,2,3\n", "line 2 is '1,2,3', not a box, polygon, mask or code; unpack"),
])  # fmt: skip
def test_broken_copies(tmp_path, file, text, message):
    write_vot(tmp_path)
    if text is None:
        (tmp_path / file).rename(tmp_path / "moved")
    else:
        (tmp_path / file).write_text(text)
    refused("vot18", "vot2018", tmp_path, message)
