"""UAV123's parts of videos and UAV20L, in the folders that people have them in."""

import logging
from pathlib import Path

import numpy as np
import pytest
from miniatures import moving_boxes, write_boxes
from one_sequence import names_of, read_one, refused

from lib.data.datasets.annotations import package_table

TABLE = {listed.name: listed for listed in package_table("uav123.json")}


def write_uav(root: Path, images: str, numbers: tuple[int, int] = (751, 1627), boxes: str = "UAV123/car1_2") -> None:
    """The first and the last image of a part of the video car1 in the folder ``images``, and its boxes."""
    folder = root / images / "car1"
    folder.mkdir(parents=True)
    for number in numbers:
        (folder / f"{number:06d}.jpg").touch()
    write_boxes(root / "anno" / f"{boxes}.txt", moving_boxes(numbers[1] - numbers[0] + 1))


def test_the_tables_are_the_published_ones(tmp_path):
    (tmp_path / "data_seq" / "UAV123" / "bike1").mkdir(parents=True)
    names = names_of("uav", "uav123", tmp_path)
    assert len(names) == len(set(names)) == 123 and all(name.startswith("uav_") for name in names)
    assert sum(listed.last - listed.first + 1 for listed in TABLE.values()) == 112578
    assert sum(listed.first != 1 for listed in TABLE.values()) == 32
    assert len({listed.folder for listed in TABLE.values()}) == 91
    names = names_of("uav", "uav20l", tmp_path)
    assert len(names) == len(set(names)) == 20 and names[:2] == ["bike1", "bird1"]


@pytest.mark.parametrize("images", ["data_seq/UAV123", "data_seq", "UAV123", "."])
def test_frame_numbers_are_the_videos(tmp_path, caplog, images):
    write_uav(tmp_path, images)
    with caplog.at_level(logging.INFO, "lib"):
        sequence = read_one("uav", "uav123", tmp_path, "uav_car1_2")
    assert [str(sequence.frames[i].relative_to(tmp_path / images)) for i in (0, -1)] == [
        "car1/000751.jpg", "car1/001627.jpg",
    ]  # fmt: skip
    np.testing.assert_array_equal(sequence.boxes, moving_boxes(877))
    assert sequence.meta == {"class": "car"}
    assert f"the videos of uav123 lie in {tmp_path / images}\n" in caplog.text


@pytest.mark.parametrize("images", ["data_seq/UAV123", "data_seq/UAV20L"])
def test_uav20l_is_whole_videos(tmp_path, images):
    write_uav(tmp_path, images, (1, 2629), "UAV20L/car1")
    sequence = read_one("uav", "uav20l", tmp_path, "car1")
    assert [sequence.frames[i].name for i in (0, -1)] == ["000001.jpg", "002629.jpg"]


def test_rows_of_nan_are_frames_without_a_visible_target(tmp_path):
    write_uav(tmp_path, "data_seq/UAV123")
    rows = ["1,2,3,4"] * 877
    rows[5] = rows[6] = "NaN,NaN,NaN,NaN"
    (tmp_path / "anno" / "UAV123" / "car1_2.txt").write_text("\n".join(rows))
    sequence = read_one("uav", "uav123", tmp_path, "uav_car1_2")
    assert np.isnan(sequence.boxes[5:7]).all() and sequence.absent is None
    np.testing.assert_array_equal(np.flatnonzero(~sequence.visible), [5, 6])


def test_broken_copies(tmp_path):
    refused("uav", "uav123", tmp_path, "holds no sequence of uav uav123 in a layout that")
    (tmp_path / "data_seq" / "UAV123" / "bike1").mkdir(parents=True)
    refused("uav", "uav123", tmp_path, r"anno/UAV123/bike1\.txt: No such file")
    write_boxes(tmp_path / "anno" / "UAV123" / "bike1.txt", moving_boxes(3))
    refused("uav", "uav123", tmp_path, r"anno/UAV123/bike1\.txt: 3 rows, but uav_bike1 needs 3085")
