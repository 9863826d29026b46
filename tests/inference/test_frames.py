"""Frames come in numeric order from a folder and in time order from a video, and what cannot be read says so."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.data.images import ImageError
from lib.inference.frames import FrameError, read_frames


def shade(value: int) -> np.ndarray:
    """A BGR image whose red, green and blue differ."""
    return np.full((48, 64, 3), (value, 2 * value, 100 + value), np.uint8)


def write_video(file: Path, count: int) -> None:
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    assert writer.isOpened()
    for i in range(count):
        writer.write(shade(10 * i))
    writer.release()


def test_a_folder_is_read_in_numeric_order_as_rgb(tmp_path: Path) -> None:
    for i in (10, 9, 11, 8):
        cv2.imwrite(str(tmp_path / f"{i}.png"), shade(i))
    (tmp_path / "._8.png").touch()
    (tmp_path / "groundtruth.txt").write_text("1,2,3,4\n")
    frames = list(read_frames(tmp_path))
    for frame, i in zip(frames, (8, 9, 10, 11), strict=True):
        np.testing.assert_array_equal(frame, shade(i)[:, :, ::-1])


@pytest.mark.parametrize(("name", "message"), [
    ("3.jpg", "3.jpg and 3.png are one frame twice"),
    ("6.png", "6.png follows 4.png: 1 frame"),
    ("mask_1.png", "4.png or mask_1.png comes first is ambiguous"),
])  # fmt: skip
def test_a_folder_without_a_clear_order_is_an_error_before_the_first_frame(
    tmp_path: Path, name: str, message: str
) -> None:
    for file in ("1.png", "2.png", "3.png", "4.png", name):
        (tmp_path / file).touch()
    with pytest.raises(FrameError, match=f"^{tmp_path}: .*{message}"):
        read_frames(tmp_path)


def test_a_video_is_read_in_time_order_as_rgb(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.avi", 6)
    frames = list(read_frames(tmp_path / "clip.avi"))
    for i, frame in enumerate(frames):
        assert np.abs(frame.mean(axis=(0, 1)) - shade(10 * i)[0, 0, ::-1]).max() < 4
    assert len(frames) == 6


def test_a_video_cut_short_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_video(tmp_path / "clip.avi", 40)
    whole = (tmp_path / "clip.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.WARNING):
        frames = list(read_frames(tmp_path / "cut.avi"))
    assert 0 < len(frames) < 40
    assert "cut.avi" in caplog.text


def test_nothing_to_read_is_an_error_before_the_first_frame(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.avi").write_text("no video")
    for name, word in (("absent", "no such"), ("empty", "no image"), ("notes.avi", "no frame")):
        with pytest.raises(FrameError, match=word) as caught:
            read_frames(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_damaged_image_is_an_error_that_names_it(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), shade(1))
    (tmp_path / "2.png").write_bytes(b"not an image")
    frames = read_frames(tmp_path)
    next(frames)
    with pytest.raises(ImageError, match="2.png"):
        next(frames)
