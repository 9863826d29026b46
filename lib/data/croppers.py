"""Crops of a frame for training, decoded from no more of it than they show."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np

from lib.data.augment import to_grayscale
from lib.data.decoding.images import EncodedImage
from lib.geometry.aligned import AlignedWindow
from lib.geometry.crop import Fill, Region, Window, mean_color, padding_value

AnyWindow = Window | AlignedWindow


class Cropper(Protocol):
    """Takes crops of one frame: of an image file, of a crop store, or with objects pasted on it.

    ``missed``: the crop store lacked the pixels, so the frame was read.
    """

    missed = False

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the whole frame in pixels. Raises ``ImageError``."""

    def crop(self, window: AnyWindow, size: int, flipped: bool, grayscale: bool) -> np.ndarray:
        """The pixels of a window at the network's size: RGB ``[size, size, 3]``, contiguous, uint8 or, if the window
        is aligned, float32.

        ``flipped`` mirrors the frame left to right; ``window`` is in pixels of the mirrored frame. Raises
        ``ImageError``.
        """


class FrameCropper(Cropper):
    """Takes crops of a frame in an image file, which is decoded where and when crops show it.

    ``fill`` is shown outside the frame; for the mean color the whole frame is decoded.
    """

    def __init__(self, image: EncodedImage, fill: Fill = "zero") -> None:
        self._image, self._fill = image, fill

    @property
    def shape(self) -> tuple[int, int]:
        return self._image.shape

    def keep(self, windows: Iterable[AnyWindow], flipped: bool) -> None:
        """Decode at once the pixels of several later crops. Each window must show some of the frame. Raises
        ``ImageError``."""
        regions = (None if self._pads_by_mean(window) else self._shown(window, flipped) for window in windows)
        lefts, tops, rights, bottoms = zip(*(region or (0, 0, *self.shape[::-1]) for region in regions), strict=True)
        self._image.pixels((min(lefts), min(tops), max(rights), max(bottoms)))

    def crop(self, window: AnyWindow, size: int, flipped: bool, grayscale: bool) -> np.ndarray:
        """As ``Cropper.crop``, bit-equal to the crop of the whole frame, decoded, made gray and flipped."""
        left, top, right, bottom = region = self._shown(window, flipped)
        by_mean, value = self._pads_by_mean(window), 0
        pixels = self._image.pixels(None if by_mean else region)
        pixels = to_grayscale(pixels) if grayscale and pixels.size else pixels
        if by_mean:
            value = mean_color(pixels) if isinstance(window, AlignedWindow) else padding_value(pixels, "mean")
            pixels = pixels[top:bottom, left:right]
        return window.fit(pixels, self.shape, size, value, flipped)

    def _shown(self, window: AnyWindow, flipped: bool) -> Region:
        """The part of the frame, as it is stored, that a crop shows."""
        left, top, right, bottom = window.inside(self.shape)
        width = self.shape[1]
        return (width - right, top, width - left, bottom) if flipped else (left, top, right, bottom)

    def _pads_by_mean(self, window: AnyWindow) -> bool:
        return self._fill == "mean" and not window.is_full(self.shape)
