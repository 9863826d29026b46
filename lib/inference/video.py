"""Sources of frames: a video file, a folder of images, a camera or an address; and threads that read and write while a
network works."""

import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from itertools import islice
from pathlib import Path
from threading import Condition, Thread
from typing import Any, Self, TypeVar

from lib.data.datasets.order import IMAGE_SUFFIXES, is_image, order_frames
from lib.data.decoding.images import read_image
from lib.data.decoding.video import DEFAULT_RATE, Frame, VideoError, VideoReader

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
        if isinstance(error.__cause__, BlockingIOError | OSError) and "busy" in reason.lower():
            remedy = "another program uses it; close that one"
        elif isinstance(error.__cause__, PermissionError):
            remedy = "this user may not read it; add the user to the group video"
        else:
            there = sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video[0-9]*"))
            remedy = f"cameras here: {', '.join(there) or 'none'}"
        raise VideoError(f"camera {number}: {reason}; {remedy}") from error


class _Source:
    """A source that a ``with`` block closes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the source; nothing by default."""


class FolderReader(_Source):
    """The images of a folder in the order of ``order_frames``, shown at 25 frames a second.

    Raises ``VideoError`` at once for a folder without images or without a clear order, and
    ``lib.data.decoding.images.ImageError`` at a damaged image.
    """

    live = False
    dropped = 0
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
            self._names = list(order_frames(images, folder))
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


class LiveReader(_Source):
    """The newest frame of a source that does not wait: a thread reads, and keeps one frame until it is asked for.

    Frames keep their numbers in the source, so a gap shows frames that were left out; ``dropped`` counts them.
    """

    live = True

    def __init__(self, reader: VideoReader) -> None:
        self._reader = reader
        self.name, self.first, self.length = reader.name, reader.first, reader.length
        self.width, self.height, self.rate, self.time_base = reader.width, reader.height, reader.rate, reader.time_base
        self.start, self.dropped = reader.start, 0
        self._newest: Frame | None = None
        self._ended = False
        self._error: Exception | None = None
        self._changed = Condition()
        self._thread = Thread(target=self._keep_newest, name="live", daemon=True)
        self._thread.start()

    @property
    def shortfall(self) -> str:
        """See ``VideoReader``."""
        return self._reader.shortfall

    def __iter__(self) -> Iterator[Frame]:
        """The first frame, then the newest each time, until the source ends. Raises what ended it otherwise."""
        yield self.first
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest is not None or self._ended)
                frame, self._newest = self._newest, None
            if frame is not None:
                yield frame
            elif self._error is not None:
                raise self._error
            else:
                return

    def close(self) -> None:
        self._ended = True
        self._thread.join()
        self._reader.close()

    def _keep_newest(self) -> None:
        try:
            for frame in islice(self._reader, 1, None):
                with self._changed:
                    if self._ended:
                        return
                    self.dropped += self._newest is not None
                    self._newest = frame
                    self._changed.notify()
        except Exception as error:  # for the thread that iterates
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()


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


class Behind:
    """Calls ``function`` in a thread, in order, at most ``most`` calls behind; an error comes with a later call or at
    the end of the block."""

    def __init__(self, function: Callable[..., Any], most: int = 4) -> None:
        self._function, self._most = function, most
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future[Any]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        try:
            while self._waiting:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown()

    def __call__(self, *arguments: Any) -> None:
        """Put a call in line; waits while too many are there."""
        while len(self._waiting) >= self._most:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._function, *arguments))
