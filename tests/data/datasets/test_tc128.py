"""Temple-Color 128 as released and as pytracking's users have it."""

import logging
from pathlib import Path

import numpy as np
import pytest
from miniatures import moving_boxes, write_boxes
from one_sequence import names_of, read_one, refused

NAME = "tpl_Yo_yos_ce1"  # 235 frames; the release spells it Yo-yos_ce1
FOLDERS = {"released": "Yo-yos_ce1", "prefixed": NAME}


def write_tc128(root: Path, layout: str, count: int, frames: str | None, first: int = 1) -> np.ndarray:
    folder = root / FOLDERS[layout]
    (folder / "img").mkdir(parents=True)
    for number in (first, first + count - 1):
        (folder / "img" / f"{number:04d}.jpg").touch()
    boxes = moving_boxes(count)
    write_boxes(folder / "Yo-yos_ce1_gt.txt", boxes)
    if frames is not None:
        (folder / "Yo-yos_ce1_frames.txt").write_text(frames)
    return boxes


def test_the_table_is_the_published_one(tmp_path):
    names = names_of("tc128", "tc128", tmp_path)
    assert len(names) == len(set(names)) == 129
    only_here = names_of("tc128", "ce", tmp_path)
    assert only_here == [name for name in names if "_ce" in name] and len(only_here) == 78


@pytest.mark.parametrize(
    ("split", "layout", "said"),
    [("tc128", "released", "as released"), ("ce", "prefixed", "with folders named tpl_...")],
)
def test_the_range_of_frames_is_the_files(tmp_path, caplog, layout, said, split):
    boxes = write_tc128(tmp_path, layout, 5, "3,7\n", first=3)
    with caplog.at_level(logging.INFO, "lib"):
        sequence = read_one("tc128", split, tmp_path, NAME)
    assert [sequence.frames[i].name for i in (0, -1)] == ["0003.jpg", "0007.jpg"]
    np.testing.assert_array_equal(sequence.boxes, boxes)
    assert f"TC128 {said}" in caplog.text


def test_without_that_file_the_range_is_the_tables(tmp_path):
    write_tc128(tmp_path, "released", 235, None)
    assert len(read_one("tc128", "tc128", tmp_path, NAME)) == 235


def test_broken_copies(tmp_path):
    refused("tc128", "tc128", tmp_path, r"Skating2/Skating2_gt\.txt: No such file")
    write_tc128(tmp_path, "released", 5, "1,6")
    refused("tc128", "tc128", tmp_path, r"Yo-yos_ce1_gt\.txt: 5 rows, but tpl_Yo_yos_ce1 needs 6", NAME)
    for wrong in ("6,1", "1.5,6", "nan,6"):
        (tmp_path / "Yo-yos_ce1" / "Yo-yos_ce1_frames.txt").write_text(wrong)
        refused("tc128", "tc128", tmp_path, r"Yo-yos_ce1_frames\.txt: is not the numbers of", NAME)
    (tmp_path / "Yo-yos_ce1" / "Yo-yos_ce1_frames.txt").write_text("1;6")
    refused("tc128", "tc128", tmp_path, r"Yo-yos_ce1_frames\.txt: line 1 is '1;6', not 2 numbers", NAME)
