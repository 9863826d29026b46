"""The frames of a video file as images: unpacked once, and kept."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from lib.data.source import Stamp
from lib.data.types import FrameFiles, NumberedNames
from lib.runtime.files import utf8_name
from lib.runtime.locks import take_lock

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm")
# What is a video too, but is not taken for one.
OTHER_SUFFIXES = (
    ".264", ".265", ".3g2", ".3gp", ".asf", ".divx", ".dv", ".f4v", ".flv", ".gif", ".h264", ".h265", ".hevc", ".ivf",
    ".m1v", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".ogg", ".ogv", ".qt",
    ".rm", ".rmvb", ".ts", ".vob", ".wmv", ".y4m",
)  # fmt: skip
FOLDER = "videos"
PATTERN = "%08d.jpg"
QUALITY = 95

_SAY_EVERY = 1000  # frames
_SILENT = 300  # seconds without a new frame, after which the process that unpacked is taken to be gone

logger = logging.getLogger(__name__)


def unpack_video(video: Path, stamp: Stamp, cache: Path) -> tuple[FrameFiles, str]:
    """The frames of a video as JPEG files of quality 95, numbered from 1, in a folder of ``cache / videos``; and in a
    line what they lack, where the header of the video states more of them than could be read, else "".

    The folder's name tells the video's path and ``stamp`` (size and time of change), so a video that was replaced is
    unpacked anew. It gets that name when all frames are in it: what an earlier process left half done is never used,
    and removed. Frames are turned as the video says, like an image by its EXIF data. Raises ``ValueError`` in one line
    for a video that OpenCV cannot read, and for a cache that cannot be written.
    """
    about = f"{os.path.abspath(video)}\0{stamp}".encode("utf-8", "surrogateescape")
    folder = cache.absolute() / FOLDER / f"{video.stem}-{hashlib.sha256(about).hexdigest()[:16]}"
    try:
        _remove_abandoned(folder.parent)
        if not folder.is_dir():
            _unpack(video, folder)
        count = sum(name.endswith(".jpg") for name in os.listdir(folder))
    except OSError as error:
        raise ValueError(
            f"{video}: its frames cannot be kept in {folder.parent} ({error.strerror or error}); make room or set "
            "another cache folder: cache in paths.yaml or the environment variable TRACKING_CACHE"
        ) from error
    announced = _announced(video)
    shortfall = ""
    if count < announced:
        shortfall = (
            f"{video}: its header states {announced} frames, {count} could be read; if it is damaged there, copy or "
            "convert it again"
        )
    return FrameFiles(folder, NumberedNames(PATTERN, 1, count)), shortfall


def _announced(video: Path) -> int:
    """How many frames the header states, 0 if it does not."""
    capture = open_video(video)
    try:
        return max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
    finally:
        capture.release()


def open_video(video: Path) -> cv2.VideoCapture:
    """A video to read, which has no frame if it is none; whatever bytes its name is made of."""
    with utf8_name(video) as name:
        return cv2.VideoCapture(name)


def _unpack(video: Path, folder: Path) -> None:
    with _unfinished_folder(folder.parent) as unfinished:
        _write_frames(video, unfinished)
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, with the same frames
                raise


@contextmanager
def _unfinished_folder(parent: Path) -> Iterator[Path]:
    """A new folder that is locked as long as this process has it, and gone at the end of the block."""
    while True:
        folder = parent / f".{socket.gethostname()}-{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            take_lock(handle, wait=True)
            if folder.is_dir():  # else another process has taken it for abandoned before it was locked
                yield folder
                return
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)


def _remove_abandoned(parent: Path) -> None:
    """Remove what killed processes have left in ``parent``: of this machine at once, as their locks ended with them, of
    another after some minutes, since not every network disk passes locks on."""
    for folder in parent.glob(".*"):
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue  # another process has just finished or removed it, or it is no folder, or not this user's
        try:
            locked = take_lock(handle)
            here = locked and folder.name.startswith(f".{socket.gethostname()}-")
            if here or locked is not False and time.time() - os.fstat(handle).st_mtime > _SILENT:
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)


def _write_frames(video: Path, folder: Path) -> None:
    announced = _announced(video)
    capture = open_video(video)
    try:
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
