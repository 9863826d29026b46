"""The frames of a video file as images: unpacked once, and kept."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import uuid
from pathlib import Path

import cv2

from lib.data.source import Stamp
from lib.data.types import FrameFiles, NumberedNames
from lib.runtime.files import utf8_name

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm")
FOLDER = "videos"
PATTERN = "%08d.jpg"
QUALITY = 95

_SAY_EVERY = 1000  # frames

logger = logging.getLogger(__name__)


def unpack_video(video: Path, stamp: Stamp, cache: Path) -> FrameFiles:
    """The frames of a video as JPEG files of quality 95, numbered from 1, in a folder of ``cache / videos``.

    The folder's name tells the video's path and ``stamp`` (size and time of change), so a video that was replaced is
    unpacked anew. It gets that name when all frames are in it: what an earlier process left half done is never used.
    Frames are turned as the video says, like an image by its EXIF data. Raises ``ValueError`` in one line for a video
    that OpenCV cannot read, and for a cache that cannot be written.
    """
    about = f"{os.path.abspath(video)}\0{stamp}".encode("utf-8", "surrogateescape")
    folder = cache.absolute() / FOLDER / f"{video.stem}-{hashlib.sha256(about).hexdigest()[:16]}"
    try:
        if not folder.is_dir():
            _unpack(video, folder)
        count = sum(name.endswith(".jpg") for name in os.listdir(folder))
    except OSError as error:
        raise ValueError(
            f"{video}: its frames cannot be kept in {folder.parent} ({error.strerror or error}); make room or set "
            "another cache folder: cache in paths.yaml or the environment variable TRACKING_CACHE"
        ) from error
    return FrameFiles(folder, NumberedNames(PATTERN, 1, count))


def open_video(video: Path) -> cv2.VideoCapture:
    """A video to read, which has no frame if it is none; whatever bytes its name is made of."""
    with utf8_name(video) as name:
        return cv2.VideoCapture(name)


def _unpack(video: Path, folder: Path) -> None:
    unfinished = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    unfinished.mkdir(parents=True)
    try:
        _write_frames(video, unfinished)
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, with the same frames
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_frames(video: Path, folder: Path) -> None:
    capture = open_video(video)
    try:
        announced = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        logger.info("%s: its frames (about %d) are unpacked, once, into %s", video, announced, folder.parent)
        count = 0
        found, frame = capture.read()
        while found:
            count += 1
            jpeg = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
            (folder / (PATTERN % count)).write_bytes(jpeg.tobytes())
            if count % _SAY_EVERY == 0:
                logger.info("%s: %d of about %d frames", video, count, announced)
            found, frame = capture.read()
    finally:
        capture.release()
    if count == 0:
        raise ValueError(f"{video}: no frame can be read; is it a video that OpenCV's codecs know?")
    if count < announced:  # headers are often estimates
        logger.warning("%s: its header states %d frames, %d could be read", video, announced, count)
