"""Sources of frames: a video file, a folder of images, a camera or an address; and threads that read and write while a
network works."""

import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from lib.data.datasets.order import IMAGE_SUFFIXES, is_image, order_frames
from lib.data.decoding.images import read_image
from lib.data.decoding.video import DEFAULT_RATE, Frame, VideoError, VideoReader, VideoSource

# FFmpeg's name of a system's cameras, and how it names the one of a number.
CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}:none"), "win32": ("dshow", "video={}")}
ADDRESS = re.compile(r"(https?|rtsps?|rtmps?|udp|tcp|srt)://", re.IGNORECASE)
SILENCE = 10.0  # seconds without data, after which a stream has ended

T = TypeVar("T")


def open_video(source: str | Path) -> "VideoReader | FolderReader | LiveReader":
    """The frames of ``source``: a video file, a folder of images, the number of a camera, or an address (rtsp, http).

    Each has ``width``, ``height``, ``rate`` (frames a second), ``time_base``, ``length`` (None if unknown), ``first``
    (the first ``Frame``) and ``close``; iterating gives all frames once. A live source leaves out frames that come
    while none is asked for; ``dropped`` counts them. Raises ``VideoError`` with the remedy in one line.
    """
    text = str(source)
    if text.isascii() and text.isdigit() and not Path(text).exists():
        return LiveReader(_open_camera(int(text)))
    if ADDRESS.match(text):
        options = {"rtsp_transport": "tcp"} if text.lower().startswith("rtsp") else {}
        reader = VideoReader(text, options=options, timeout=SILENCE)
        return LiveReader(reader) if reader.length is None else reader
    path = Path(source)
    if path.is_dir():
        return FolderReader(path)
    if not path.is_file():
        raise VideoError(f"{path}: no such video, folder of images, camera (a number) or address (rtsp://, http://)")
    return VideoReader(path)


def _open_camera(number: int) -> VideoReader:
    container_format, name = CAMERAS.get(sys.platform, CAMERAS["linux"])
    try:
        return VideoReader(name.format(number), container_format, timeout=SILENCE)
    except VideoError as error:
        reason = str(error).partition(": ")[2]
        there = sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video[0-9]*"))
        raise VideoError(
            f"camera {number}: {reason}; cameras here: {', '.join(there) or 'none'}; close other programs that use it, "
            "and add this user to the group video"
        ) from error


class FolderReader(VideoSource):
    """The images of a folder in the order of ``order_frames``, shown at 25 frames a second.

    Raises ``VideoError`` at once for a folder without images or without a clear order, and
    ``lib.data.decoding.images.ImageError`` at a damaged image.
    """

    shortfall = ""
    rate = DEFAULT_RATE
    time_base = Fraction(1, 90000)
    start = Fraction(0)

    def __init__(self, folder: Path) -> None:
        self.name, self._folder = str(folder), folder
        images = [path.name for path in folder.iterdir() if is_image(path.name)]
        if not images:
            raise VideoError(f"{folder}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
        try:
            self._names = list(order_frames(images, folder)[0])
        except ValueError as error:
            raise VideoError(str(error)) from error
        self.length = len(self._names)
        self.first = self._read(0)
        self.height, self.width = self.first.image.shape[:2]

    def __iter__(self) -> Iterator[Frame]:
        """All images, read when they are asked for."""
        yield self.first
        yield from map(self._read, range(1, self.length))

    def _read(self, number: int) -> Frame:
        return Frame(number, float(number / self.rate), read_image(self._folder / self._names[number]))


class LiveReader(VideoSource):
    """The newest frame of a source that does not wait: a thread reads, and keeps one frame until it is asked for.

    Frames keep their numbers in the source, so a gap shows frames that were left out. Attributes are the reader's.
    """

    live = True

    def __init__(self, reader: VideoReader) -> None:
        self._reader, self._closed, self.dropped = reader, False, 0
        # The newest frame, and after the last one None or the error that ended the source.
        self._queue: SimpleQueue[Frame | Exception | None] = SimpleQueue()
        self._thread = Thread(target=self._keep_newest, name="live", daemon=True)
        self._thread.start()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def __iter__(self) -> Iterator[Frame]:
        """The first frame, then the newest each time, until the source ends. Raises the error that ended it."""
        yield self._reader.first
        while isinstance(newest := self._queue.get(), Frame):
            yield newest
        if newest is not None:
            raise newest

    def close(self) -> None:
        self._closed = True
        self._thread.join()
        self._reader.close()

    def _keep_newest(self) -> None:
        end = None
        try:
            for frame in islice(self._reader, 1, None):
                if self._closed:
                    break
                with suppress(Empty):
                    self._queue.get_nowait()
                    self.dropped += 1
                self._queue.put(frame)
        except Exception as error:  # for the thread that iterates
            end = error
        self._queue.put(end)


def ahead(items: Iterable[T], most: int = 4) -> Iterator[T]:
    """The same items, made by a thread up to ``most`` before they are asked for; its errors come in their place."""
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(next, iterator, end) for _ in range(most))
        try:
            while (item := waiting.popleft().result()) is not end:
                waiting.append(pool.submit(next, iterator, end))
                yield item
        finally:
            for future in waiting:
                future.cancel()


@contextmanager
def behind(function: Callable[..., Any], most: int = 4) -> Iterator[Callable[..., None]]:
    """In the block, calls of the yielded function call ``function`` in a thread, in order and at most ``most`` calls
    behind. An error comes with a later call or at the end of the block."""
    waiting: deque[Future[Any]] = deque()

    def call(*arguments: Any) -> None:
        while len(waiting) >= most:
            waiting.popleft().result()
        waiting.append(pool.submit(function, *arguments))

    with ThreadPoolExecutor(1) as pool:
        yield call
        while waiting:
            waiting.popleft().result()
