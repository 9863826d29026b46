"""Videos that a page has opened: where their files lie, which formats are taken, and when they are removed."""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfile, rmtree
from tempfile import mkdtemp
from time import monotonic

from lib.data.decoding.video import VideoError, VideoReader
from lib.runtime.escapes import printable
from lib.runtime.locks import take_lock
from lib.visualization.sheet import encode

SOURCE = "source"  # the file's name in its folder, whatever its user calls it
MOST = 8  # videos at once
KEPT = 3600.0  # seconds without a request, after which a video is removed
NAME = 80  # characters of a shown name
SCREEN = 1280  # pixels of a picture's width in the page
# FFmpeg's names of the containers that hold one video and name no other file, as playlists do.
FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,mxf,h264,hevc,ivf,yuv4mpegpipe"
REMEDY = "choose a video file, such as MP4, MOV, WebM, MKV or AVI"


class TooLargeError(ValueError):
    """An upload that exceeds the limit."""


@contextmanager
def session_folder(root: Path) -> Iterator[Path]:
    """A new folder in ``root`` for this process alone, removed at the end of the block. Folders of killed processes are
    removed first. A process holds a lock on its folder while it lives."""
    root.mkdir(parents=True, exist_ok=True)
    with open(root / ".lock", "a") as guard:
        take_lock(guard.fileno(), wait=True)  # no other process clears a folder before its lock is taken
        for left in root.glob("session-*"):
            _remove_abandoned(left)
        folder = Path(mkdtemp(prefix="session-", dir=root))
        held = os.open(folder, os.O_RDONLY)
        take_lock(held)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)
        os.close(held)


def _remove_abandoned(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if take_lock(descriptor):  # never on a disk without locks
            rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def open_source(path: Path, name: str) -> VideoReader:
    """The video in ``path``, called ``name`` in messages. Raises ``VideoError`` for anything but one of ``FORMATS``."""
    try:
        reader = VideoReader(path, options={"format_whitelist": FORMATS, "protocol_whitelist": "file"})
    except VideoError as error:
        raise VideoError(f"{name}: no video that can be read here; {REMEDY}") from error
    reader.name = name
    return reader


class Video:
    """A video in a ``folder`` of its own: the ``name`` to show, size in pixels, ``rate`` in frames a second, ``length``
    in frames by its header, and the first frame as JPEG. Raises ``VideoError``."""

    def __init__(self, folder: Path, name: str) -> None:
        self.id, self.folder, self.name = folder.name, folder, name
        with self.open() as reader:
            self.width, self.height = reader.width, reader.height
            self.rate, self.length = float(reader.rate), reader.length
            self.first = encode(reader.first.image, "jpeg", SCREEN)
        self.last_request = monotonic()

    def open(self) -> VideoReader:
        """Its frames."""
        return open_source(self.folder / SOURCE, self.name)

    def describe(self) -> dict[str, str | int | float | None]:
        """Id, name, size, rate and length, for the page."""
        names = ("id", "name", "width", "height", "rate", "length")
        return {name: getattr(self, name) for name in names}


class Videos:
    """The open videos by their ids, which cannot be guessed, in folders below ``folder``; ``limit`` is the most bytes
    of one."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.limit, self._folder = limit, folder
        self._videos: dict[str, Video] = {}

    def __getitem__(self, key: str) -> Video:
        """``KeyError`` for one that is not open."""
        video = self._videos[key]
        video.last_request = monotonic()
        return video

    async def receive(self, name: str, chunks: AsyncIterator[bytes]) -> Path:
        """Keep an upload; its folder. Raises ``TooLargeError``."""
        folder, size = self._make_folder(), 0
        try:
            with open(folder / SOURCE, "xb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    self.check_size(name, size)
                    file.write(chunk)
        except BaseException:
            rmtree(folder, ignore_errors=True)
            raise
        return folder

    def check_size(self, name: str, size: int) -> None:
        """Raise ``TooLargeError`` for more than ``limit`` bytes."""
        if size > self.limit:
            raise TooLargeError(
                f"{name}: larger than {self.limit / 1e6:.0f} MB; choose a shorter video, start the demo with a larger "
                "--limit, or use python tracking/track.py"
            )

    def copy(self, file: Path) -> Path:
        """Take a file of this machine; its folder."""
        folder = self._make_folder()
        copyfile(file, folder / SOURCE)
        return folder

    def add(self, folder: Path, name: str) -> Video:
        """Open what lies in ``folder``, which is removed if it is no video. Raises ``VideoError``."""
        try:
            video = Video(folder, name)
        except BaseException:
            rmtree(folder, ignore_errors=True)
            raise
        self._videos[video.id] = video
        return video

    def remove(self, video: Video) -> None:
        """Remove its files."""
        self._videos.pop(video.id, None)
        rmtree(video.folder, ignore_errors=True)

    def idle(self, seconds: float = KEPT) -> list[Video]:
        """The videos without a request in the last ``seconds``."""
        return [video for video in self._videos.values() if monotonic() - video.last_request > seconds]

    def _make_folder(self) -> Path:
        if len(self._videos) >= MOST:
            raise ValueError(f"{MOST} videos are open; close a page that shows one, then try again")
        folder = self._folder / secrets.token_hex(12)
        folder.mkdir()
        return folder


def shown_name(text: str) -> str:
    """The name of an upload as it is shown: its last part, on one line, not too long."""
    name = printable(text.replace("\\", "/").rpartition("/")[2].strip())[:NAME]
    return name or "video"
