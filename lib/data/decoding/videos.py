"""The frames of a video file as images, unpacked once and kept in the cache."""

import hashlib
import logging
import os
from pathlib import Path

import cv2

from lib.data.decoding.video import VideoReader
from lib.data.files.source import Stamp
from lib.data.types import FrameFiles, NumberedNames
from lib.runtime.files import new_folder
from lib.runtime.locks import only_writer

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm")
# Other video files, which are not read.
OTHER_SUFFIXES = (
    ".264", ".265", ".3g2", ".3gp", ".asf", ".divx", ".dv", ".f4v", ".flv", ".gif", ".h264", ".h265", ".hevc", ".ivf",
    ".m1v", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mpe", ".mpeg", ".mpg", ".mts", ".mxf", ".ogg", ".ogv", ".qt",
    ".rm", ".rmvb", ".ts", ".vob", ".wmv", ".y4m",
)  # fmt: skip
VIDEOS = "videos"
VIDEO_PATTERN = "%08d.jpg"
_QUALITY = 95

_LOG_EVERY = 1000  # frames

logger = logging.getLogger(__name__)


def unpack_video(video: Path, stamp: Stamp, cache: Path) -> tuple[FrameFiles, str]:
    """The frames of a video as JPEG files of quality 95, numbered from 1, in a folder of ``cache / videos``; and one
    line if the header of the video states more frames than could be read, else "".

    The folder's name depends on the video's path and ``stamp`` (size and time of change), so a video that was replaced
    is unpacked anew. The folder gets its name when all frames are in it, so an unfinished one is never used; a process
    that needs the same video meanwhile waits. Frames are rotated as the video's header states. Raises ``ValueError`` in
    one line for a video that cannot be read, and for a cache that cannot be written.
    """
    about = f"{os.path.abspath(video)}\0{stamp}".encode("utf-8", "surrogateescape")
    # Only a part of the stem: a disk takes 255 bytes, which are 64 letters of some scripts.
    folder = cache.absolute() / VIDEOS / f"{video.stem[:50]}-{hashlib.sha256(about).hexdigest()[:16]}"
    try:
        if not folder.is_dir():
            with only_writer(folder, wait=True):
                if not folder.is_dir():  # no other process has unpacked it meanwhile
                    with new_folder(folder) as unfinished:
                        _write_frames(video, unfinished)
        count = sum(name.endswith(".jpg") for name in os.listdir(folder))
    except OSError as error:
        raise ValueError(
            f"{video}: its frames cannot be kept in {folder.parent} ({error.strerror or error}); make room or set "
            "another cache folder: cache in paths.yaml or the environment variable TRACKING_CACHE"
        ) from error
    with VideoReader(video) as reader:
        shortfall = reader.shortfall_of(count)
    return FrameFiles(folder, NumberedNames(VIDEO_PATTERN, 1, count)), shortfall


def _write_frames(video: Path, folder: Path) -> None:
    with VideoReader(video) as reader:
        logger.info("%s: unpacking its frames (about %d), once, into %s", video, reader.length or 0, folder.parent)
        for count, frame in enumerate(reader, start=1):
            jpeg = cv2.imencode(".jpg", frame.image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
            (folder / (VIDEO_PATTERN % count)).write_bytes(jpeg.tobytes())
            if count % _LOG_EVERY == 0:
                logger.info("%s: %d of about %d frames", video, count, reader.length or 0)
