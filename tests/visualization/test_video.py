from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.data.decoding.images import ImageError
from lib.data.decoding.video import VideoReader
from lib.visualization.boxes import COLORS
from lib.visualization.video import LEAST_WIDTH, overlay, write_overlay, write_video


@pytest.fixture
def frames(tmp_path: Path) -> list[Path]:
    """Fourteen grey frames that grow lighter."""
    paths = [tmp_path / f"{number:08d}.jpg" for number in range(1, 15)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), np.full((90, 160, 3), 10 * number, np.uint8))
    return paths


def read_video(path: Path) -> np.ndarray:
    with VideoReader(path) as reader:
        return np.stack([frame.image for frame in reader])


def test_small_frames_are_enlarged_with_their_boxes():
    drawn = overlay(np.zeros((90, 160, 3), np.uint8), {"target": np.array([20.0, 40, 30, 20])})
    assert drawn.shape == (270, 480, 3)
    rows, columns = np.nonzero((drawn == COLORS[0]).all(axis=2) & (np.arange(270)[:, None] > 40))
    assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == [60, 120, 150, 180]
    large = np.zeros((60, LEAST_WIDTH, 3), np.uint8)
    assert overlay(large, {}).shape == large.shape


def test_the_video_shows_every_frame_with_its_boxes_and_the_sheet_some(tmp_path: Path, frames: list[Path]):
    truth = np.tile([100.0, 30, 40, 40], (14, 1))
    truth[13] = 0
    write_overlay(frames, {"truth": truth, "tracker": truth - 20}, tmp_path / "out/a.mp4", tmp_path / "out/a.png")
    images = read_video(tmp_path / "out/a.mp4").astype(int)
    assert images.shape == (14, 270, 480, 3)
    assert np.abs(images[:, 250, 240].mean(axis=1) - 10 * np.arange(14)).max() < 8
    green = images[:, 150, 297:305, 1].max(axis=1) - images[:, 150, 297:305, 0].min(axis=1)
    assert (green[:13] > 80).all()
    assert green[13] < 30
    assert cv2.imread(str(tmp_path / "out/a.png")).shape[0] > 3 * 270


def test_a_damaged_frame_is_named(tmp_path: Path, frames: list[Path]):
    frames[3].write_bytes(b"no image")
    with pytest.raises(ImageError, match="00000004.jpg"):
        write_overlay(frames, {"truth": np.ones((14, 4))}, tmp_path / "a.mp4", tmp_path / "a.png")


def test_a_video_is_written_into_a_folder_whose_name_is_no_utf8(tmp_path: Path):
    write_video(tmp_path / "\udcd0" / "a.mp4", [np.zeros((48, 64, 3), np.uint8)] * 3, 10)
    (tmp_path / "\udcd0" / "a.mp4").rename(tmp_path / "a.mp4")
    assert len(read_video(tmp_path / "a.mp4")) == 3
