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

from lib.data.decoding.video import VideoReader
from lib.data.stores.source import Stamp
from lib.data.types import FrameFiles, NumberedNames
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
    for a video that cannot be read, and for a cache that cannot be written.
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
    with VideoReader(video) as reader:
        shortfall = reader.shortfall_of(count)
    return FrameFiles(folder, NumberedNames(PATTERN, 1, count)), shortfall


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
    with VideoReader(video) as reader:
        logger.info("%s: its frames (about %d) are unpacked, once, into %s", video, reader.length or 0, folder.parent)
        for count, frame in enumerate(reader, start=1):
            jpeg = cv2.imencode(".jpg", frame.image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
            (folder / (PATTERN % count)).write_bytes(jpeg.tobytes())
            if count % _SAY_EVERY == 0:
                logger.info("%s: %d of about %d frames", video, count, reader.length or 0)
