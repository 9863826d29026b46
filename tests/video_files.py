"""Video files of given frames, for tests."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np


def encode(
    file: Path,
    images: Iterable[np.ndarray | bytes],
    codec: str = "mjpeg",
    rate: int = 25,
    ticks: Sequence[int] | None = None,
    sound: str | None = None,
) -> None:
    """Write frames: RGB uint8 ``[H, W, 3]``, or JPEGs. ``ticks`` are their times in milliseconds.
    ``sound`` is a codec, of which a silent stream as long as the frames is added."""
    file.parent.mkdir(parents=True, exist_ok=True)
    images = [image if isinstance(image, np.ndarray) else decoded(image) for image in images]
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec == "mjpeg":
            stream.codec_context.qmin = stream.codec_context.qmax = 2
        if ticks:
            stream.codec_context.time_base = Fraction(1, 1000)
        noise = container.add_stream(sound, rate=48000) if sound else None
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            if ticks:
                frame.pts, frame.time_base = ticks[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if noise:
            for start in range(0, 48000 * len(images) // rate, 1024):
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.int16), format="s16", layout="stereo")
                silence.sample_rate, silence.pts = 48000, start
                container.mux(noise.encode(silence))
            container.mux(noise.encode(None))


def decoded(jpeg: bytes) -> np.ndarray:
    """The RGB image of a JPEG."""
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def smooth(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Frames of smooth colors that grow bluer, RGB."""
    x, y = np.meshgrid(np.linspace(0, 120, width), np.linspace(0, 120, height))
    return [np.stack([x, y, np.full_like(x, 200 * n / max(1, count))], axis=2).astype(np.uint8) for n in range(count)]
