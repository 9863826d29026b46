"""Views of frames: crops of a frame, decoded from no more of it than they show."""

import functools
from collections import abc
from collections.abc import Callable, Iterable
from typing import Protocol

import cv2
import numpy as np

from lib.data.augment import to_grayscale
from lib.data.decoding.images import EncodedImage, open_image
from lib.data.types import Sequence
from lib.geometry.aligned import AlignedWindow
from lib.geometry.crop import (
    CropConfig,
    Fill,
    Region,
    Value,
    Window,
    fit,
    fit_shrunk,
    inside,
    inside_shrunk,
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

    ``fill`` is shown outside the frame; for the mean color the whole frame is decoded. ``scaled`` takes a crop from the
    frame decoded at 1/2, 1/4 or 1/8 of its size, the least that has a pixel for each of the crop's. That is faster and
    softer: the decoder takes means where the exact crop skips pixels. On photographs (DAVIS, COCO) the two differ by 4,
    8 and 12 of 255 levels on average (a crop moved by one of its pixels by 9, 13 and 19), and the border to the padding
    is blurred over one of the decoder's pixels.
    """

    def __init__(self, image: EncodedImage, fill: Fill = "zero", scaled: bool = False) -> None:
        self._image, self._fill, self._scaled = image, fill, scaled
        self._kept: tuple[Region, np.ndarray] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self._image.shape

    def keep(self, crops: Iterable[tuple[AnyWindow, int]], flipped: bool) -> None:
        """Decode at once the pixels of several later crops, each a window and a size; scaled ones are left out.

        Each window must show some of the frame. Raises ``ImageError``.
        """
        exact = [window for window, size in crops if self._shrink(window, size) == 1]
        if len(exact) > 1:
            lefts, tops, rights, bottoms = zip(*(self._needed(window, flipped) for window in exact), strict=True)
            region = min(lefts), min(tops), max(rights), max(bottoms)
            self._kept = region, self._image.pixels(region)

    def crop(self, window: AnyWindow, size: int, flipped: bool, grayscale: bool) -> np.ndarray:
        """As ``View.crop``. Unless scaled, bit-equal to the crop of the whole frame, decoded, made gray and flipped."""
        shrink = self._shrink(window, size)
        if shrink > 1:
            return self._scaled_crop(window, shrink, size, flipped, grayscale)
        region = self._on_disk(inside(window, self.shape), flipped)
        pixels, value = self._look(region, _leaves(window, region), 1, grayscale, isinstance(window, AlignedWindow))
        return fit(pixels, window, self.shape, size, value, flipped)

    def _scaled_crop(self, window: Window, shrink: int, size: int, flipped: bool, grayscale: bool) -> np.ndarray:
        """As ``crop``, but flipped last: the decoder's pixels are counted from the left of the frame on disk."""
        if flipped:
            window = window._replace(x1=self.shape[1] - window.x1 - window.side)
        leaves = _leaves(window, inside(window._replace(lost=0), self.shape))
        pixels, value = self._look(inside_shrunk(window, self.shape, shrink), leaves, shrink, grayscale)
        crop = fit_shrunk(pixels, window, shrink, size, value)
        return cv2.flip(crop, 1) if flipped else crop

    def _shrink(self, window: AnyWindow, size: int) -> int:
        if isinstance(window, AlignedWindow):
            return 1
        return next((shrink for shrink in (8, 4, 2) if self._scaled and window.side >= size * shrink), 1)

    def _look(
        self, region: Region, leaves: bool, shrink: int, grayscale: bool, aligned: bool = False
    ) -> tuple[np.ndarray, Value]:
        """The pixels of a region, in color or gray, and the value outside the frame, if the crop leaves it."""
        if leaves and self._fill == "mean":
            whole = _colored(self._pixels(self._whole, shrink), grayscale)
            left, top, right, bottom = region
            pixels = whole[top // shrink : -(-bottom // shrink), left // shrink : -(-right // shrink)]
            return pixels, mean_color(whole) if aligned else padding_value(whole, self._fill)
        return _colored(self._pixels(region, shrink), grayscale), 0

    def _pixels(self, region: Region, shrink: int) -> np.ndarray:
        left, top, right, bottom = region
        if left >= right or top >= bottom:
            return np.empty((0, 0, 3), dtype=np.uint8)
        if self._kept is not None and shrink == 1:
            (x, y, x_end, y_end), kept = self._kept
            if x <= left and y <= top and right <= x_end and bottom <= y_end:
                return kept[top - y : bottom - y, left - x : right - x]
        return self._image.pixels(region, shrink)

    def _needed(self, window: AnyWindow, flipped: bool) -> Region:
        region = self._on_disk(inside(window, self.shape), flipped)
        return self._whole if self._fill == "mean" and _leaves(window, region) else region

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
    scaled: bool,
) -> list[View]:
    """Views of the frames of a template and of a search crop (``crops``), from the store if there is one.

    A frame's file is opened only if the store lacks it, and once if both crops show it with the same ``fill``: that is
    one view. For ``scaled`` see ``FrameView``. Raises ``ImageError``.
    """

    @functools.cache
    def open_frame(frame: int, fill: Fill) -> FrameView:
        return FrameView(open_image(sequence.frames[frame], decoder), fill, scaled)

    if store is None:
        return [open_frame(frame, crop.fill) for frame, crop in zip(frames, crops, strict=True)]
    return [
        store.view(sequence.name, frame, role, functools.partial(open_frame, frame, crop.fill))
        for role, frame, crop in zip(("template", "search"), frames, crops, strict=True)
    ]


def _leaves(window: AnyWindow, region: Region) -> bool:
    if isinstance(window, AlignedWindow):
        return not window.is_full
    left, top, right, bottom = region
    return (right - left, bottom - top) != (window.side, window.side)


def _colored(pixels: np.ndarray, grayscale: bool) -> np.ndarray:
    return to_grayscale(pixels) if grayscale and pixels.size else pixels
