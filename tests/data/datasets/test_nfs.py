"""NfS as pytracking repacked it and as it was released, with the rows that its files have too many."""

import logging
from pathlib import Path

import numpy as np
import pytest
from miniatures import moving_boxes, write_boxes
from one_sequence import names_of, read_one, refused

from lib.data.datasets.annotations import package_table

FRAMES = 22  # of car_jumping, the shortest


def write_images(folder: Path, count: int = FRAMES) -> None:
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        (folder / f"{number:05d}.jpg").touch()


def write_released(root: Path, rows: int, images: int = FRAMES) -> np.ndarray:
    """car_jumping as released; its boxes xywh."""
    folder = root / "car_jumping" / "30"
    write_images(folder / "car_jumping", images)
    boxes = moving_boxes(rows) + np.arange(rows)[:, None]
    lines = [f'0 {x:g} {y:g} {x + w:g} {y + h:g} {n} 0 0 1 "a car"' for n, (x, y, w, h) in enumerate(boxes)]
    (folder / "car_jumping.txt").write_text("\n".join(lines) + "\n")
    return boxes


def test_the_table_is_the_published_one(tmp_path):
    names = names_of("nfs", "nfs30", tmp_path)
    assert len(names) == len(set(names)) == 100 and all(name.startswith("nfs_") for name in names)
    assert sum(listed.last for listed in package_table("nfs30.json")) == 47953


def test_repacked(tmp_path, caplog):
    write_images(tmp_path / "sequences" / "car_jumping")
    write_boxes(tmp_path / "anno" / "nfs_car_jumping.txt", moving_boxes(FRAMES), "\t")
    with caplog.at_level(logging.INFO, "lib"):
        sequence = read_one("nfs", "nfs30", tmp_path, "nfs_car_jumping")
    assert len(sequence) == FRAMES and sequence.frames[0].name == "00001.jpg"
    np.testing.assert_array_equal(sequence.boxes, moving_boxes(FRAMES))
    assert sequence.meta == {"class": "car"}
    assert "NfS repacked by pytracking" in caplog.text


@pytest.mark.parametrize(("rows", "step", "said"), [
    (FRAMES, 1, ""),
    (8 * FRAMES, 8, "176 rows for 22 frames; every 8th is taken"),
    (8 * FRAMES + 1, 8, "one row more or fewer than images; the last is left out"),
    (FRAMES + 1, 1, "one row more or fewer than images; the last is left out"),
    (FRAMES - 1, 1, "one row more or fewer than images; the last is left out"),
])  # fmt: skip
def test_released(tmp_path, caplog, rows, step, said):
    boxes = write_released(tmp_path, rows)
    with caplog.at_level(logging.INFO, "lib"):
        sequence = read_one("nfs", "nfs30", tmp_path, "nfs_car_jumping")
    count = min(FRAMES, -(-rows // step))
    assert len(sequence) == count
    assert [frame.name for frame in sequence.frames] == [f"{number:05d}.jpg" for number in range(1, count + 1)]
    np.testing.assert_array_equal(sequence.boxes, boxes[::step][:count])
    assert "NfS as released" in caplog.text
    assert said in caplog.text and ("car_jumping.txt" in caplog.text) == bool(said)


@pytest.mark.parametrize(
    ("number", "message"), [(1, "the first frame is 00002.jpg, not number 1"), (9, "00010.jpg follows")]
)
def test_a_lost_frame_of_the_release_is_no_row_too_many(tmp_path, number, message):
    write_released(tmp_path, FRAMES)
    (tmp_path / "car_jumping" / "30" / "car_jumping" / f"{number:05d}.jpg").unlink()
    refused("nfs", "nfs30", tmp_path, f"30/car_jumping: {message}", "nfs_car_jumping")


def test_broken_copies(tmp_path):
    refused("nfs", "nfs30", tmp_path, "Gymnastics/30/Gymnastics: No such file")
    write_released(tmp_path, FRAMES - 2)
    refused("nfs", "nfs30", tmp_path, "20 rows, but its sequence has 22 images", "nfs_car_jumping")
    (tmp_path / "car_jumping" / "30" / "car_jumping.txt").write_text("0 1 2 3 4 0\n0 1 2 x 4 1\n")
    refused("nfs", "nfs30", tmp_path, r"car_jumping\.txt: line 2 is '0 1 2 x 4 1', not a number and", "nfs_car_jumping")
    (tmp_path / "car_jumping" / "30" / "car_jumping.txt").write_text("0 1 2 3 44 0\n0 1 2 3 4")
    refused("nfs", "nfs30", tmp_path, r"car_jumping\.txt: line 2 is '0 1 2 3 4', cut short; unpack", "nfs_car_jumping")
    write_released(tmp_path / "short", 1, images=1)
    (tmp_path / "short" / "car_jumping" / "30" / "car_jumping.txt").write_text("")
    refused("nfs", "nfs30", tmp_path / "short", "0 rows, but its sequence has 1 images", "nfs_car_jumping")
    (tmp_path / "sequences").mkdir()
    refused("nfs", "nfs30", tmp_path, r"anno/nfs_Gymnastics\.txt: No such file")
