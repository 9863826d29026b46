"""The frames of a video, whether it lies in a folder of images or in one file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from lib.data.datasets.order import IMAGE_SUFFIXES, is_image, order_frames
from lib.data.images import read_image
from lib.data.videos import open_video

logger = logging.getLogger(__name__)


class FrameError(ValueError):
    """A source of frames that is missing, empty or unreadable; the message names it in one line."""


def read_frames(source: Path) -> Iterator[np.ndarray]:
    """RGB uint8 ``[H, W, 3]`` frames of a folder of images (in the order of ``order_frames``) or of a video file.

    Raises ``FrameError`` at once if there is nothing to read, or one frame of a folder is missing or there twice, and
    ``lib.data.images.ImageError`` at a damaged image. A video that ends before the length its header states is logged,
    since such headers are often estimates.
    """
    if source.is_dir():
        return _folder_frames(source)
    if source.is_file():
        return _video_frames(source)
    raise FrameError(f"{source}: no such video file or folder of images")


def _folder_frames(folder: Path) -> Iterator[np.ndarray]:
    images = [path.name for path in folder.iterdir() if is_image(path.name)]
    if not images:
        raise FrameError(f"{folder}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
    try:
        ordered = order_frames(images, folder)
    except ValueError as error:
        raise FrameError(str(error)) from error
    return (read_image(folder / name) for name in ordered)


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
