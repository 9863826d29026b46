"""Videos that a page has opened: where their files lie, which formats are taken, and when they are removed."""

import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from time import monotonic
from typing import Any

from anyio import to_thread
from starlette.exceptions import HTTPException

from lib.data.decoding.video import VideoError, VideoReader
from lib.runtime.escapes import printable
from lib.runtime.locks import only_writer, take_lock
from lib.visualization.sheet import encode

SOURCE = "source"  # the file's name in its folder, whatever its user calls it
MOST_VIDEOS = 8  # videos at once
KEPT = 3600.0  # seconds without a request, after which a video is removed
NAME = 80  # characters of a shown name
SCREEN = 1280  # pixels of a picture's width in the page
# FFmpeg's names of the containers that hold one video and name no other file, as playlists do.
CONTAINERS = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,mxf,h264,hevc,ivf,yuv4mpegpipe"
NO_VIDEO = "no video that can be read here; choose a video file, such as MP4, MOV, WebM, MKV or AVI"
TOO_LARGE = "choose a shorter video, start the demo with a larger --limit, or use python tracking/track.py"


@contextmanager
def session_folder(root: Path) -> Iterator[Path]:
    """A new folder in ``root`` for this process alone, removed at the end of the block. Folders of killed processes are
    removed first. A process holds a lock on its folder while it lives."""
    root.mkdir(parents=True, exist_ok=True)
    with only_writer(root, root / ".lock", wait=True):  # no process clears a folder before its lock is taken
        for left in root.glob("session-*"):
            with suppress(FileNotFoundError):  # its process has just removed it
                descriptor = os.open(left, os.O_RDONLY)
                if take_lock(descriptor):  # never on a disk without locks
                    rmtree(left, ignore_errors=True)
                os.close(descriptor)
        folder = Path(mkdtemp(prefix="session-", dir=root))
        held = os.open(folder, os.O_RDONLY)
        take_lock(held)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)
        os.close(held)


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """The call's result, from a thread that the end of the server does not wait for."""
    return await to_thread.run_sync(function, *arguments, abandon_on_cancel=True)


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
        """Its frames. Raises ``VideoError`` for anything but one of ``CONTAINERS``."""
        options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
        try:
            reader = VideoReader(self.folder / SOURCE, options=options)
        except VideoError as error:
            raise VideoError(f"{self.name}: {NO_VIDEO}") from error
        reader.name = self.name
        return reader

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

    async def add(self, name: str, chunks: AsyncIterator[bytes]) -> Video:
        """Keep a file of this content, and open it. Raises ``HTTPException`` for more than ``limit`` bytes, and
        ``VideoError`` for content that is no video; nothing is then left."""
        if len(self._videos) >= MOST_VIDEOS:
            raise ValueError(f"{MOST_VIDEOS} videos are open; close a page that shows one, then try again")
        folder, size = self._folder / secrets.token_hex(12), 0
        folder.mkdir()
        try:
            with open(folder / SOURCE, "xb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > self.limit:
                        raise HTTPException(413, f"{name}: larger than {self.limit / 1e6:.0f} MB; {TOO_LARGE}")
                    file.write(chunk)
            video = await in_thread(Video, folder, name)
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


def shown_name(text: str) -> str:
    """The name of an upload as it is shown: its last part, on one line, not too long."""
    name = printable(text.replace("\\", "/").rpartition("/")[2].strip())[:NAME]
    return name or "video"
