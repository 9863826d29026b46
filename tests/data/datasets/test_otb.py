"""OTB100's sequences that begin late, end early, skip frames or share a video, and its digits."""

import logging
from collections import Counter
from pathlib import Path

import numpy as np
from miniatures import moving_boxes, write_boxes
from one_sequence import names_of, read_one, refused

from lib.data.datasets.annotations import package_table

TABLE = {listed.name: listed for listed in package_table("otb100.json")}


def write_otb(
    root: Path, folder: str, images: tuple[int, ...], rows: int, digits: int = 4, file: str = "groundtruth_rect.txt"
) -> np.ndarray:
    """A sequence's first and last image, empty files, and its boxes, which differ from row to row."""
    (root / folder / "img").mkdir(parents=True, exist_ok=True)
    for number in images:
        (root / folder / "img" / f"{number:0{digits}d}.jpg").touch()
    boxes = moving_boxes(rows) + np.arange(rows)[:, None] / 4
    write_boxes(root / folder / file, boxes)
    return boxes


def test_the_table_is_the_published_one(tmp_path):
    names = names_of("otb", "otb100", tmp_path)
    assert len(names) == len(set(names)) == 100
    assert {"Jogging_1", "Jogging_2", "Skating2_1", "Skating2_2", "Human4_2"} < set(names)
    late = {name: listed.first for name, listed in TABLE.items() if listed.first != 1}
    assert late == {"David": 300, "BlurCar1": 247, "BlurCar3": 3, "BlurCar4": 18, "Tiger1": 6}
    assert Counter(listed.pattern for listed in TABLE.values()) == {"%04d.jpg": 99, "%05d.jpg": 1}
    assert (TABLE["KiteSurf"].folder, TABLE["KiteSurf"].pattern) == ("KiteSurf/img", "%04d.jpg")


def test_a_sequence_that_begins_late(tmp_path, caplog):
    boxes = write_otb(tmp_path, "David", (300, 770), 471)
    with caplog.at_level(logging.INFO, "lib"):
        sequence = read_one("otb", "otb100", tmp_path, "David")
    assert [sequence.frames[0].name, sequence.frames[-1].name] == ["0300.jpg", "0770.jpg"]
    np.testing.assert_array_equal(sequence.boxes, boxes)
    assert caplog.text == "" and sequence.meta == {"class": "face"} and sequence.absent is None


def test_rows_for_a_whole_video_are_cut_and_it_is_said(tmp_path, caplog):
    boxes = write_otb(tmp_path, "BlurCar4", (18, 397), 397)
    with caplog.at_level(logging.INFO, "lib"):
        sequence = read_one("otb", "otb100", tmp_path, "BlurCar4")
    assert [sequence.frames[0].name, sequence.frames[-1].name] == ["0018.jpg", "0397.jpg"]
    np.testing.assert_array_equal(sequence.boxes, boxes[17:])
    assert (
        "BlurCar4/groundtruth_rect.txt: one row for each of the video's 397 frames; those of frames 18" in caplog.text
    )


def test_tiger1_loses_five_frames_and_five_rows(tmp_path):
    boxes = write_otb(tmp_path, "Tiger1", (6, 354), 354)
    sequence = read_one("otb", "otb100", tmp_path, "Tiger1")
    assert [sequence.frames[0].name, sequence.frames[-1].name] == ["0006.jpg", "0354.jpg"]
    np.testing.assert_array_equal(sequence.boxes, boxes[5:])


def test_board_has_five_digits(tmp_path):
    write_otb(tmp_path, "Board", (1, 698), 698, digits=5)
    assert read_one("otb", "otb100", tmp_path, "Board").frames[9].name == "00010.jpg"


def test_two_targets_of_a_video(tmp_path):
    first = write_otb(tmp_path, "Jogging", (1, 307), 307, file="groundtruth_rect.1.txt")
    second = first + 1
    write_boxes(tmp_path / "Jogging" / "groundtruth_rect.2.txt", second)
    one, two = (read_one("otb", "otb100", tmp_path, f"Jogging_{number}") for number in (1, 2))
    assert list(one.frames) == list(two.frames)
    np.testing.assert_array_equal(one.boxes, first)
    np.testing.assert_array_equal(two.boxes, second)


def test_human4_is_its_second_file(tmp_path):
    boxes = write_otb(tmp_path, "Human4", (1, 667), 667, file="groundtruth_rect.2.txt")
    (tmp_path / "Human4" / "groundtruth_rect.1.txt").touch()
    np.testing.assert_array_equal(read_one("otb", "otb100", tmp_path, "Human4_2").boxes, boxes)


def test_broken_copies(tmp_path):
    refused("otb", "otb100", tmp_path, r"Basketball/groundtruth_rect\.txt: No such file")
    write_otb(tmp_path, "David", (), 470)
    refused("otb", "otb100", tmp_path, r"David/.*: 470 rows, but David needs 471 \(frames 300 to 770\)", "David")
    write_otb(tmp_path, "Diving", (), 216)
    refused("otb", "otb100", tmp_path, r"Diving/.*: 216 rows, but Diving needs 215", "Diving")
