"""The frames of a video, whether it lies in a folder of images or in one file."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from lib.data.images import read_image
from lib.data.videos import open_video

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")

logger = logging.getLogger(__name__)


class FrameError(ValueError):
    """A source of frames that is missing, empty or unreadable; the message names it in one line."""


def read_frames(source: Path) -> Iterator[np.ndarray]:
    """RGB uint8 ``[H, W, 3]`` frames of a folder of images (in numeric order: 9 before 10) or of a video file.

    Raises ``FrameError`` at once if there is nothing to read, and ``lib.data.images.ImageError`` at a damaged image.
    A video that ends before the length its header states is logged, since such headers are often estimates.
    """
    if source.is_dir():
        return _folder_frames(source)
    if source.is_file():
        return _video_frames(source)
    raise FrameError(f"{source}: no such video file or folder of images")


def _folder_frames(folder: Path) -> Iterator[np.ndarray]:
    images = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise FrameError(f"{folder}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
    return (read_image(path) for path in sorted(images, key=_numeric_order))


def _numeric_order(path: Path) -> list[str | int]:
    """Text and numbers of the name in turn, so that numbers are compared as numbers."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", path.name)]


def _video_frames(file: Path) -> Iterator[np.ndarray]:
    video = open_video(file)
    found, frame = video.read()
    if not found:
        video.release()
        raise FrameError(f"{file}: no frame can be read; is it a video that OpenCV's codecs know?")
    return _remaining_frames(file, video, frame)


def _remaining_frames(file: Path, video: cv2.VideoCapture, frame: np.ndarray) -> Iterator[np.ndarray]:
    count, found = 0, True
    try:
        while found:
            count += 1
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            found, frame = video.read()
        announced = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        if count < announced:
            logger.warning("%s: its header states %d frames, %d could be read", file, announced, count)
    finally:
        video.release()
