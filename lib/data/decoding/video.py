"""Video files, read and written by FFmpeg through PyAV: RGB frames with their exact times in, H.264 out."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Self

import av
import numpy as np
from av.error import FFmpegError, InvalidDataError

from lib.runtime.files import replacing
from lib.runtime.machine import usable_cores

DEFAULT_RATE = Fraction(25)  # frames a second, where a source states none
_TICK = Fraction(1, 90000)  # seconds; the common rates are whole numbers of it
_BT709 = 1  # in FFmpeg's lists of color spaces, primaries and transfer curves
_LIMITED = 1  # brightness from 16 to 235
_KEY_FRAMES = 48  # frames from one to the next: a player jumps to these
_ENCODER = "libx264"
# Without B frames the file's length is right at a variable rate too.
_ENCODING = {"preset": "superfast", "crf": "20", "bf": "0"}
# Codecs that MP4 allows and browsers play.
_AUDIO = ("aac", "mp3", "opus", "ac3", "flac", "alac")

logger = logging.getLogger(__name__)


class VideoError(ValueError):
    """A video that cannot be read or written; the message names it and the remedy in one line."""


class Frame(NamedTuple):
    """A frame of a video: its ``number``, from 0, the ``time`` at which it is shown, in seconds from the first frame,
    and the ``image``, RGB uint8 ``[H, W, 3]``."""

    number: int
    time: float
    image: np.ndarray


class VideoSource:
    """Frames that are read once, in order, and closed at the end of a ``with`` block; see ``VideoReader``.

    A ``live`` source does not wait: it leaves out frames that come while none is asked for, and counts them in
    ``dropped``.
    """

    live = False
    dropped = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, the camera or the connection."""


class VideoReader(VideoSource):
    """The frames of a video in order, rotated as its header states; damaged frames are left out.

    * ``width``, ``height``: of the first frame as it is shown; ``first`` is that frame.
    * ``rate``: average number of frames a second; ``time_base``: step of the times in seconds.
    * ``length``: number of frames by the header (an estimate for some formats), None for a stream without an end.
    * ``shortfall``: after the last frame, a line if there were fewer frames, or if the stream broke; else "".

    ``container_format`` and ``options`` are FFmpeg's, for cameras and streams; ``timeout`` is in seconds. Raises
    ``VideoError`` if no frame can be read.
    """

    def __init__(
        self,
        source: Path | str,
        container_format: str | None = None,
        options: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> None:
        self.name = str(source)
        self.shortfall = ""
        self._count, self._start, self._last, self._broken = 0, None, Fraction(0), ""
        try:
            self._container = av.open(
                str(source), format=container_format, options=options or {}, timeout=timeout, metadata_errors="replace"
            )
        except (FFmpegError, ValueError) as error:
            raise VideoError(f"{self.name}: {_reason(error)}") from error
        try:
            self._stream = self._find_stream()
            self.time_base = self._stream.time_base or _TICK
            self.rate = self._stream.average_rate or self._stream.guessed_rate or DEFAULT_RATE
            self.length = self._announced()
            self._frames = self._read()
            self.first = next(self._frames, None)
            if self.first is None:
                raise VideoError(f"{self.name}: no frame can be read; if it is damaged, copy or convert it again")
        except BaseException:
            self._container.close()
            raise
        self.height, self.width = self.first.image.shape[:2]

    def __iter__(self) -> Iterator[Frame]:
        """All frames, once."""
        if self._count == 1:
            yield self.first
        yield from self._frames

    def close(self) -> None:
        self._frames.close()
        self._container.close()

    @property
    def start(self) -> Fraction:
        """The time of the first frame in the file, in seconds."""
        return self._start or Fraction(0)

    def shortfall_of(self, count: int) -> str:
        """A line if the header states more than ``count`` frames, else ""."""
        if count >= (self.length or 0):
            return ""
        return (
            f"{self.name}: its header states {self.length} frames, {count} could be read; if it is damaged there, copy "
            "or convert it again"
        )

    def _find_stream(self) -> Any:
        if not self._container.streams.video:
            raise VideoError(f"{self.name}: holds no video")
        stream = self._container.streams.video[0]
        if stream.codec_context is None:
            raise VideoError(f"{self.name}: its codec is unknown to this FFmpeg; convert it, such as to H.264 in MP4")
        stream.thread_type = "AUTO"
        return stream

    def _announced(self) -> int | None:
        if self._stream.frames:
            return self._stream.frames
        seconds = Fraction(self._container.duration or 0, av.time_base)
        return round(seconds * self.rate) or None

    def _read(self) -> Iterator[Frame]:
        for frame in self._decode():
            self._count += 1
            yield Frame(self._count - 1, float(self._time(frame)), _rgb(frame))
        self.shortfall = self.shortfall_of(self._count)
        if self._broken and self.length is None:
            self.shortfall = f"{self.name}: the stream ended ({self._broken}); start again when it is back"

    def _decode(self) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except InvalidDataError:
                packet = None  # the rest of the file cannot be parsed
            except FFmpegError as error:
                if self._count == 0:
                    raise VideoError(f"{self.name}: {_reason(error)}") from error
                packet, self._broken = None, _reason(error)
            try:
                yield from self._stream.decode(packet)
            except InvalidDataError:
                logger.debug("%s: a damaged packet after frame %d", self.name, self._count)
            except FFmpegError as error:
                raise VideoError(f"{self.name}: {_reason(error)}") from error
            if packet is None or packet.dts is None and packet.size == 0:
                return

    def _time(self, frame: av.VideoFrame) -> Fraction:
        """Seconds from the first frame; a frame without a time follows the last one at the average rate."""
        pts = frame.pts if frame.pts is not None else frame.dts
        seconds = None if pts is None else pts * (frame.time_base or self.time_base)
        if self._start is None:
            self._start = seconds if seconds is not None else Fraction(0)
            return Fraction(0)
        following = self._last + 1 / self.rate
        time = following if seconds is None else seconds - self._start
        self._last = time if time > self._last else following
        return self._last


class VideoWriter:
    """Writes frames as H.264 in an MP4 file (yuv420p, BT.709) that browsers and phones play while they load it.

    The file gets its name at ``close`` or the end of a ``with`` block, also after an error; a killed process leaves no
    file of that name. Without a frame no file is written. All frames get the size of the first; an odd width or height
    gets one more column or row, since the format needs even ones. ``rate`` is in frames a second, ``time_base`` in
    seconds. The sound of the video ``audio`` is copied, from its time ``audio_start`` on, as long as the frames last.
    Folders are made. Raises ``VideoError`` if there is no encoder, and ``OSError``.
    """

    def __init__(
        self,
        path: Path | str,
        rate: Fraction | float = DEFAULT_RATE,
        time_base: Fraction = _TICK,
        audio: Path | None = None,
        audio_start: Fraction = Fraction(0),
    ) -> None:
        self.path = Path(path)
        self._rate, self._tick = Fraction(rate).limit_denominator(100_000), time_base
        self._audio, self._audio_start = audio, audio_start
        self._stack = ExitStack()
        self._container: Any = None
        self._sound: _Sound | None = None
        self._size = 0, 0
        self._count, self._last = 0, -1
        try:
            av.Codec(_ENCODER, "w")
        except ValueError as error:
            raise VideoError(f"{self.path}: this PyAV has no {_ENCODER}; pip install --force-reinstall av") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def write(self, image: np.ndarray, time: float | None = None) -> None:
        """Add a frame, RGB uint8 ``[H, W, 3]``, shown at ``time`` in seconds, by default one frame after the last."""
        if self._container is None:
            self._open(image)
        time = float(self._count / self._rate) if time is None else time
        self._last = max(self._last + 1, round(time / self._tick))
        self._count += 1
        frame = av.VideoFrame.from_ndarray(_even(image), format="rgb24")
        height, width = self._size
        frame = frame.reformat(width, height, format="yuv420p", dst_colorspace="ITU709")
        frame.pts, frame.time_base = self._last, self._tick
        self._mux(self._stream.encode(frame))

    def close(self) -> None:
        """Finish the file. A second call does nothing."""
        container, self._container = self._container, None
        if container is None:
            return
        with self._stack:
            try:
                self._mux(self._stream.encode(None), container)
            finally:
                container.close()

    def _open(self, image: np.ndarray) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._size = tuple(side + side % 2 for side in image.shape[:2])
        with ExitStack() as stack:
            file = stack.enter_context(replacing(self.path))
            container = av.open(file.name, "w", format="mp4", options={"movflags": "faststart"})
            self._stream = container.add_stream(_ENCODER, rate=self._rate, options=_ENCODING)
            context = self._stream.codec_context
            context.height, context.width = self._size
            context.pix_fmt, context.time_base = "yuv420p", self._tick
            context.gop_size, context.thread_count = _KEY_FRAMES, min(2, usable_cores())
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED
            if self._audio:
                self._sound = stack.enter_context(_Sound(self._audio, self._audio_start, container))
            self._container, self._stack = container, stack.pop_all()

    def _mux(self, packets: list[Any], container: Any = None) -> None:
        container = container or self._container
        for packet in packets:
            if self._sound:
                self._sound.copy_until(packet.pts * packet.time_base)
            container.mux(packet)


class _Sound:
    """Copies the sound of a video, if it has any, packet by packet into another container."""

    def __init__(self, source: Path, start: Fraction, target: Any) -> None:
        self._start, self._target = start, target
        self._container = av.open(str(source), metadata_errors="replace")
        self._packets: Iterator[Any] = iter(())
        self._next: Any = None
        streams = self._container.streams.audio
        if not streams:
            return
        context = streams[0].codec_context
        name = context.codec.canonical_name if context else "unknown"
        if name not in _AUDIO:
            logger.warning("%s: its sound (%s) cannot be copied into MP4 and is left out", source, name)
            return
        self._stream = target.add_stream_from_template(streams[0])
        self._packets = (packet for packet in self._container.demux(streams[0]) if packet.pts is not None)
        self._next = next(self._packets, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._container.close()

    def copy_until(self, time: Fraction) -> None:
        """Copy the sound up to ``time`` (seconds) of the target's video."""
        while self._next is not None:
            packet = self._next
            shift = round(self._start / packet.time_base)
            if (packet.pts - shift) * packet.time_base > time:
                return
            if packet.pts + packet.duration >= shift:  # encoders begin with a packet before 0
                packet.pts -= shift
                packet.dts = packet.pts
                packet.stream = self._stream
                self._target.mux(packet)
            try:
                self._next = next(self._packets, None)
            except FFmpegError:  # the end of a file that was cut short
                self._next = None


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    """The pixels, rotated as the frame states."""
    image = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4  # counterclockwise
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _even(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(image)


def _reason(error: Exception) -> str:
    """Why FFmpeg gave up, with the remedy."""
    if isinstance(error, InvalidDataError | EOFError):
        return "no video that FFmpeg knows, or one cut short at its end; copy or convert it again"
    if isinstance(error, FileNotFoundError):
        return "no such video"
    return " ".join(str(getattr(error, "strerror", None) or error).split())
