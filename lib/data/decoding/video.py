"""Video files, read and written by FFmpeg through PyAV: RGB frames with their exact times in, H.264 out."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.error import ArgumentError, FFmpegError, InvalidDataError

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


class VideoSource(AbstractContextManager):
    """Frames that are read once, in order, and closed at the end of a ``with`` block; see ``VideoReader``.

    A ``live`` source does not wait: it leaves out frames that come while none is asked for, and counts them in
    ``dropped``.
    """

    live = False
    dropped = 0

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, the camera or the connection."""


class VideoReader(VideoSource):
    """The frames of a video in order, rotated as its header states; damaged frames are left out.

    * ``width``, ``height``: of the first frame as it is shown; ``first`` is that frame.
    * ``start``: the time of the first frame in the file, in seconds.
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
        self._count, self._broken = 0, ""
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
            seconds = Fraction(self._container.duration or 0, av.time_base)
            self.length = self._stream.frames or round(seconds * self.rate) or None
            self._last = -1 / self.rate  # the time of the last frame
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
        if self._count == 1:
            self.start = seconds or Fraction(0)
        time = self._last if seconds is None else seconds - self.start
        self._last = time if time > self._last else self._last + 1 / self.rate
        return self._last


class VideoWriter(AbstractContextManager):
    """Writes frames as H.264 in an MP4 file (yuv420p, BT.709) that browsers and phones play while they load it.

    The file gets its name at the end of a ``with`` block, also after an error; a killed process leaves no file of that
    name. Without a frame no file is written. All frames get the size of the first; an odd width or height gets one more
    column or row, since the format needs even ones. ``rate`` is in frames a second, ``time_base`` in seconds. The sound
    of the video ``audio`` is copied, from its time ``audio_start`` on, as long as the frames last. Folders are made.
    Raises ``VideoError`` if there is no encoder, and ``OSError``.
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
        self._container: Any = None  # made with the first frame
        self._count, self._last = 0, -1
        try:
            av.Codec(_ENCODER, "w")
        except ValueError as error:
            raise VideoError(f"{self.path}: this PyAV has no {_ENCODER}; pip install --force-reinstall av") from error

    def __exit__(self, *_error: object) -> None:
        with self._stack:
            if self._container is not None:
                self._mux(self._stream.encode(None))

    def write(self, image: np.ndarray, time: float | None = None) -> None:
        """Add a frame, RGB uint8 ``[H, W, 3]``, shown at ``time`` in seconds, by default one frame after the last."""
        if self._container is None:
            self._open(image)
        time = float(self._count / self._rate) if time is None else time
        self._last = max(self._last + 1, round(time / self._tick))
        self._count += 1
        even = cv2.copyMakeBorder(image, 0, image.shape[0] % 2, 0, image.shape[1] % 2, cv2.BORDER_REPLICATE)
        frame, context = av.VideoFrame.from_ndarray(even, format="rgb24"), self._stream.codec_context
        frame = frame.reformat(context.width, context.height, format="yuv420p", dst_colorspace="ITU709")
        frame.pts, frame.time_base = self._last, self._tick
        self._mux(self._stream.encode(frame))

    def _open(self, image: np.ndarray) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            file = stack.enter_context(replacing(self.path))
            container = av.open(file.name, "w", format="mp4", options={"movflags": "faststart"})
            stack.enter_context(container)
            self._stream = container.add_stream(_ENCODER, rate=self._rate, options=_ENCODING)
            context = self._stream.codec_context
            context.height, context.width = (side + side % 2 for side in image.shape[:2])
            context.pix_fmt, context.time_base = "yuv420p", self._tick
            context.gop_size, context.thread_count = _KEY_FRAMES, min(2, usable_cores())
            context.colorspace = context.color_primaries = context.color_trc = _BT709
            context.color_range = _LIMITED
            self._sound = iter(())
            if self._audio:
                self._sound = stack.enter_context(closing(_read_sound(self._audio, self._audio_start, container)))
            self._next_sound = next(self._sound, None)
            self._container, self._stack = container, stack.pop_all()

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            time = packet.pts * packet.time_base
            while self._next_sound is not None and self._next_sound[0] <= time:
                with suppress(ArgumentError):  # a damaged packet, whose time is not after the last one's
                    self._container.mux(self._next_sound[1])
                self._next_sound = next(self._sound, None)
            self._container.mux(packet)


def _read_sound(source: Path, start: Fraction, target: Any) -> Iterator[tuple[Fraction, Any]]:
    """The packets of the sound of a video, if it has any, for the container ``target``, whose video begins at ``start``
    of this one; each with its time in the target, in seconds."""
    with av.open(str(source), metadata_errors="replace") as container:
        for stream in container.streams.audio[:1]:
            name = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
            if name not in _AUDIO:
                logger.warning("%s: its sound (%s) cannot be copied into MP4 and is left out", source, name)
                return
            copy = target.add_stream_from_template(stream)
            with suppress(FFmpegError):  # at the end of a file that was cut short
                for packet in container.demux(stream):
                    if packet.pts is None:
                        continue
                    packet.pts = packet.dts = packet.pts - round(start / packet.time_base)
                    if packet.pts + packet.duration >= 0:  # encoders begin with a packet before 0
                        time = packet.pts * packet.time_base
                        packet.stream = copy
                        yield time, packet


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    """The pixels, rotated as the frame states."""
    image = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4  # counterclockwise
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _reason(error: Exception) -> str:
    if isinstance(error, InvalidDataError | EOFError):
        return "no video that FFmpeg knows, or one cut short at its end; copy or convert it again"
    if isinstance(error, FileNotFoundError):
        return "no such video"
    return " ".join(str(getattr(error, "strerror", None) or error).split())
