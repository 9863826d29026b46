"""Views of frames: crops of a frame, decoded from no more of it than they show."""

import functools
from collections import abc
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from lib.data.augment import to_grayscale
from lib.data.decoding.images import EncodedImage, open_image
from lib.data.types import Sequence
from lib.geometry.aligned import AlignedWindow
from lib.geometry.crop import (
    CropConfig,
    Fill,
    Padding,
    Region,
    Window,
    mean_color,
    padding_value,
)

AnyWindow = Window | AlignedWindow


class View(Protocol):
    """A frame from which crops are taken: of an image file, a crop store, or with objects pasted on it.

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


class FrameView(View):
    """A view of a whole frame, decoded where and when crops show it.

    ``fill`` is shown outside the frame; for the mean color the whole frame is decoded.
    """

    def __init__(self, image: EncodedImage, fill: Fill = "zero") -> None:
        self._image, self._fill = image, fill
        self._kept: tuple[Region, np.ndarray] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self._image.shape

    def keep(self, windows: Iterable[AnyWindow], flipped: bool) -> None:
        """Decode at once the pixels of several later crops. Each window must show some of the frame. Raises
        ``ImageError``."""
        lefts, tops, rights, bottoms = zip(*(self._needed(window, flipped) for window in windows), strict=True)
        region = min(lefts), min(tops), max(rights), max(bottoms)
        self._kept = region, self._image.pixels(region)

    def crop(self, window: AnyWindow, size: int, flipped: bool, grayscale: bool) -> np.ndarray:
        """As ``View.crop``, bit-equal to the crop of the whole frame, decoded, made gray and flipped."""
        region = self._on_disk(window.inside(self.shape), flipped)
        value: Padding = 0
        if self._fill == "mean" and not window.is_full(self.shape):
            whole = _colored(self._pixels(self._whole), grayscale)
            left, top, right, bottom = region
            pixels = whole[top:bottom, left:right]
            value = mean_color(whole) if isinstance(window, AlignedWindow) else padding_value(whole, self._fill)
        else:
            pixels = _colored(self._pixels(region), grayscale)
        return window.fit(pixels, self.shape, size, value, flipped)

    def _pixels(self, region: Region) -> np.ndarray:
        left, top, right, bottom = region
        if left >= right or top >= bottom:
            return np.empty((0, 0, 3), dtype=np.uint8)
        if self._kept is not None:
            (x, y, x_end, y_end), kept = self._kept
            if x <= left and y <= top and right <= x_end and bottom <= y_end:
                return kept[top - y : bottom - y, left - x : right - x]
        return self._image.pixels(region)

    def _needed(self, window: AnyWindow, flipped: bool) -> Region:
        region = self._on_disk(window.inside(self.shape), flipped)
        return self._whole if self._fill == "mean" and not window.is_full(self.shape) else region

    def _on_disk(self, region: Region, flipped: bool) -> Region:
        left, top, right, bottom = region
        width = self.shape[1]
        return (width - right, top, width - left, bottom) if flipped else region

    @property
    def _whole(self) -> Region:
        height, width = self.shape
        return 0, 0, width, height


class ViewStore(Protocol):
    """A store that keeps parts of the frames of a dataset (``lib.data.stores.crops.CropStore``)."""

    def view(self, name: str, frame: int, role: str, open_frame: Callable[[], FrameView]) -> View:
        """A view of a frame of the sequence of that name, for crops of ``role`` ("template", "search").

        ``open_frame`` opens the frame itself, for crops that show more than is stored. Its view, with ``missed`` set,
        is returned if nothing is stored.
        """


def open_views(
    sequence: Sequence,
    frames: tuple[int, int],
    crops: abc.Sequence[CropConfig],
    store: ViewStore | None,
    decoder: str,
) -> list[View]:
    """Views of the frames of a template and of a search crop (``crops``), from the store if there is one.

    A frame's file is opened only if the store lacks it, and once if both crops show it with the same ``fill``: that is
    one view. Raises ``ImageError``.
    """

    @functools.cache
    def open_frame(frame: int, fill: Fill) -> FrameView:
        return FrameView(open_image(sequence.frames[frame], decoder), fill)

    if store is None:
        return [open_frame(frame, crop.fill) for frame, crop in zip(frames, crops, strict=True)]
    return [
        store.view(sequence.name, frame, role, functools.partial(open_frame, frame, crop.fill))
        for role, frame, crop in zip(("template", "search"), frames, crops, strict=True)
    ]


def _colored(pixels: np.ndarray, grayscale: bool) -> np.ndarray:
    return to_grayscale(pixels) if grayscale and pixels.size else pixels
