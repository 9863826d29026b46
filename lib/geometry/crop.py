"""The square window around a target: where it lies, its pixels at the network's size, boxes into it and out of it."""

import math
from collections import abc
from typing import Literal, NamedTuple, Self

import cv2
import numpy as np
from pydantic import PositiveFloat, PositiveInt, model_validator

from lib.config.schema import Section
from lib.geometry.aligned import AlignedWindow, CropMapping, Region, align

Box = abc.Sequence[float] | np.ndarray
Context = Literal["area", "perimeter"]
Length = np.ndarray | float
Fill = Literal["zero", "mean"]
Padding = Literal[0] | tuple[float, float, float]

# Longest side of a window in pixels. A target that fills an 8K frame needs less; the pixels of such a window take 3 GB.
LARGEST_SIDE = 2**15


class EmptyCropError(ValueError):
    """A crop that shows nothing of the image, or a box around which none can be taken."""


class CropConfig(Section):
    """How a crop is taken.

    * ``size``: its side in network pixels.
    * ``factor`` and ``context``: the window's side in image pixels, from the target's w and h. "area" (GRM, OSTrack,
      SimTrack): sqrt(w * h) * factor. "perimeter" (SiamFC, TransT): a margin of (factor - 1) * (w + h) / 2 is added to
      both before the root is taken.
    * ``fill``: what is shown outside the image, black ("zero") or the frame's mean color ("mean"; TransT).
    * ``placement``: "rounded", the window's side and corner are whole image pixels, and a crop's pixels whole numbers;
      "aligned" (LoRAT), see ``lib.geometry.aligned``: only where the image begins and ends is rounded, boxes are mapped
      as the pixels are, and these are float32.
    """

    size: PositiveInt
    factor: PositiveFloat
    context: Context = "area"
    fill: Fill = "zero"
    placement: Literal["rounded", "aligned"] = "rounded"

    @property
    def dtype(self) -> type[np.generic]:
        """The type of a crop's pixels, which are from 0 to 255."""
        return np.float32 if self.placement == "aligned" else np.uint8

    @model_validator(mode="after")
    def _margin_is_no_cut(self) -> Self:
        if self.context == "perimeter" and self.factor < 1:
            raise ValueError(
                f"factor: {self.factor:g} with context perimeter; it must be 1 or more, the margin is added"
            )
        return self


class Window(NamedTuple):
    """A square of image pixels, from column ``x1`` and row ``y1``, ``side`` pixels long; it may leave the image.

    A crop of ``size`` pixels taken from it has the resize factor ``size / side``. The last ``border`` rows and columns
    of the image count as padding: 1 in the lineage, kept because released weights have seen it, 0 in TransT.
    """

    x1: int
    y1: int
    side: int
    border: int = 1

    def inside(self, image_shape: abc.Sequence[int]) -> Region:
        """Its part of an image: left, top, right, bottom in image pixels, ends exclusive; empty if there is none.

        ``image_shape`` begins with height and width. With a ``border`` a window that reaches the image's right or
        bottom end, even exactly, goes without its last column or row. Not kept from the lineage: a window wholly left
        of or above the image takes nothing here, where the published slice wraps around and takes some.
        """
        left, top = max(0, self.x1), max(0, self.y1)
        right = max(left, min(self.x1 + self.side, image_shape[1] - self.border))
        bottom = max(top, min(self.y1 + self.side, image_shape[0] - self.border))
        return left, top, right, bottom

    def is_full(self, image_shape: abc.Sequence[int]) -> bool:
        """Whether the whole crop shows the image."""
        left, top, right, bottom = self.inside(image_shape)
        return (right - left, bottom - top) == (self.side, self.side)

    def fit(
        self, pixels: np.ndarray, image_shape: abc.Sequence[int], size: int, value: Padding = 0, flipped: bool = False
    ) -> np.ndarray:
        """The crop from the pixels of ``inside(image_shape)`` alone: uint8 ``[size, size, 3]``, contiguous.

        Outside the image it is ``value``, in each channel. The pixels are resized bilinearly. With ``flipped`` they
        come from the image before it was flipped left to right, while the window lies in the flipped one.
        """
        left, top, _, _ = self.inside(image_shape)
        canvas = _padded(pixels, left - self.x1, top - self.y1, self.side, value, flipped)
        return cv2.resize(canvas, (size, size))


def window_of(box_xywh: Box, crop: CropConfig, image_shape: abc.Sequence[int]) -> Window | AlignedWindow:
    """The window of a crop around a box in an image of that height and width; ``EmptyCropError`` as ``crop_window``."""
    if crop.placement == "rounded":
        return crop_window(box_xywh, crop.factor, crop.context)
    return align(crop_mapping(box_xywh, crop), crop.size, image_shape)


def crop_mapping(box_xywh: Box, crop: CropConfig) -> CropMapping:
    """The mapping of an aligned crop around a box before it is aligned; ``EmptyCropError`` as ``crop_window``."""
    x, y, side = _square_around(box_xywh, crop.factor, crop.context)
    scale = crop.size / side
    return CropMapping((scale, scale), (crop.size / 2 - x * scale, crop.size / 2 - y * scale))


def crop_window(box_xywh: Box, factor: float, context: Context = "area") -> Window:
    """The window centered on a box in pixels.

    * "area": side ceil(sqrt(w * h) * factor), corner rounded half to even (``sample_target`` of GRM and OSTrack).
    * "perimeter": side ceil(sqrt((w + (factor - 1) m) (h + (factor - 1) m))) with m = (w + h) / 2, corner rounded down
      (``sample_target`` and the tracker of TransT).

    Raises ``EmptyCropError`` for a box without area, with a number that is not finite, or far larger than any image.
    """
    x, y, exact = _square_around(box_xywh, factor, context)
    side = math.ceil(exact)
    if context == "area":
        return Window(round(x - side * 0.5), round(y - side * 0.5), side)
    x1, y1 = (math.floor(center - (side + 1) / 2 + 0.5) for center in (x, y))
    return Window(x1, y1, side, border=0)


def _square_around(box_xywh: Box, factor: float, context: Context) -> tuple[float, float, float]:
    """Center and side of the window around a box before it is rounded; ``EmptyCropError`` as ``crop_window``."""
    x, y, width, height = (float(value) for value in box_xywh)
    area, shown = width * height, f"x={x:g} y={y:g} w={width:g} h={height:g}"
    if not (math.isfinite(x + y) and math.isfinite(area) and width > 0 and area > 0):
        raise EmptyCropError(f"cannot crop around box {shown}: the numbers must be finite, w and h above 0")
    side = float(window_side(width, height, factor, context))
    if side > LARGEST_SIDE:
        raise EmptyCropError(
            f"cannot crop around box {shown}: its window has {side:.0f} pixels a side, at most {LARGEST_SIDE} can be"
        )
    return x + 0.5 * width, y + 0.5 * height, side


def target_size(width: Length, height: Length, context: Context) -> Length:
    """The size of a target in pixels: sqrt(w * h) for the context "area", (w + h) / 2 for "perimeter"."""
    return np.sqrt(width * height) if context == "area" else 0.5 * (width + height)


def window_side(width: Length, height: Length, factor: float, context: Context) -> Length:
    """The side in pixels, not rounded, of the window around a target (``crop_window``)."""
    size = target_size(width, height, context)
    if context == "area":
        return size * factor
    margin = (factor - 1) * size
    return np.sqrt((width + margin) * (height + margin))


def padding_value(image: np.ndarray, fill: Fill) -> Padding:
    """What a crop shows outside ``image`` (uint8 ``[H, W, 3]``): 0, or the mean of each channel, rounded down."""
    if fill == "zero":
        return 0
    red, green, blue = mean_color(image)
    return int(red), int(green), int(blue)


def mean_color(image: np.ndarray) -> tuple[float, float, float]:
    """The mean of each channel of ``image`` (uint8 ``[H, W, 3]``), not rounded, which aligned crops show outside it."""
    red, green, blue, _ = (total / (image.shape[0] * image.shape[1]) for total in cv2.sumElems(image))
    return red, green, blue


def _padded(pixels: np.ndarray, left: int, top: int, side: int, value: Padding, flipped: bool) -> np.ndarray:
    """A picture ``[side, side, 3]`` of ``value`` in which the pixels begin at column ``left`` and row ``top``."""
    rows, columns = pixels.shape[:2]
    if (rows, columns) == (side, side) and not flipped:
        return pixels
    if value == 0 and side * side > 4 * rows * columns:
        # A window far larger than the image then costs only the memory that is read.
        canvas = np.zeros((side, side, 3), dtype=np.uint8)
    else:
        canvas = np.empty((side, side, 3), dtype=np.uint8)
        bottom, right = top + rows, left + columns
        for border in (canvas[:top], canvas[bottom:], canvas[top:bottom, :left], canvas[top:bottom, right:]):
            border[...] = value
    if pixels.size:
        place = canvas[top : top + rows, left : left + columns]
        if flipped:
            cv2.flip(pixels, 1, dst=place)
        else:
            place[...] = pixels
    return canvas


def cut(image: np.ndarray, window: Window | AlignedWindow, size: int, value: Padding = 0) -> np.ndarray:
    """The window's pixels, bilinearly resized: ``[size, size, 3]``, uint8 or, if aligned, float32; ``value`` outside
    the image.

    Bit-equal to the published crop (``sample_target`` of GRM and OSTrack, of TransT with its window and the mean of the
    image) but for windows wholly left of or above the image, which are all padding here.
    """
    left, top, right, bottom = window.inside(image.shape)
    return window.fit(image[top:bottom, left:right], image.shape, size, value)


def is_empty(image_shape: abc.Sequence[int], window: Window, size: int, step: int) -> bool:
    """Whether padding went into every ``step``-th pixel of ``cut(image, window, size)``, both ways from the first."""
    left, top, right, bottom = window.inside(image_shape)
    # So long a stretch holds a step-th pixel and all it is interpolated from, which settles nearly every crop.
    if min(right - left, bottom - top) >= step * window.side / size + 4:
        return False
    return bool(padding_mask(image_shape, window, size)[::step, ::step].all())


def padding_mask(image_shape: abc.Sequence[int], window: Window, size: int) -> np.ndarray:
    """Which pixels of ``cut(image, window, size)`` any padding went into: bool ``[size, size]``.

    ``image_shape`` begins with height and width. The published mask is 1 on padding, resized bilinearly, and True where
    not 0. Weights are never negative and a pixel is padding by its row or its column alone: two resized lines suffice.
    """
    left, top, right, bottom = window.inside(image_shape)
    lines = []
    for first, end in ((top - window.y1, bottom - window.y1), (left - window.x1, right - window.x1)):
        line = np.ones((window.side, 1))
        line[first:end] = 0
        lines.append(cv2.resize(line, (1, size))[:, 0] != 0)
    rows, columns = lines
    return rows[:, None] | columns


def box_to_crop(box_xywh: Box, reference_box_xywh: Box, resize_factor: float, size: int) -> np.ndarray:
    """A box in image pixels, float32 ``[4]`` xywh in fractions of the crop that was cut around ``reference_box_xywh``.

    The reference's center is taken to lie at (size - 1) / 2 crop pixels and the rounding of the window's corner is
    ignored, as in the lineage's labels. ``box_from_crop`` differs by half a crop pixel; networks have learned that.
    """
    box, reference = np.asarray(box_xywh, dtype=np.float32), np.asarray(reference_box_xywh, dtype=np.float32)
    offset = box[:2] + np.float32(0.5) * box[2:] - (reference[:2] + np.float32(0.5) * reference[2:])
    center = np.float32((size - 1) / 2) + offset * np.float32(resize_factor)
    extent = box[2:] * np.float32(resize_factor)
    return np.concatenate((center - np.float32(0.5) * extent, extent)) / np.float32(size)


def truncated_box(box_xywh: Box, resize_factor: float, size: int) -> np.ndarray:
    """The box in the crop that was cut around it, its corner cut off to whole crop pixels towards 0: float32 ``[4]``
    xywh in fractions of the crop. The input of SimTrack's network in its tracker (lib/test/tracker/simtrack.py)."""
    extent = np.asarray(box_xywh, dtype=np.float32)[2:] * np.float32(resize_factor)
    corner = np.trunc(np.float32(size / 2) - extent / 2)
    return np.concatenate((corner, extent)) / np.float32(size)


def box_from_crop(prediction_cxcywh: Box, previous_box_xywh: Box, resize_factor: float, size: int) -> np.ndarray:
    """A predicted box, cxcywh in fractions of the crop cut around ``previous_box_xywh``, in image pixels: float64 xywh.

    The crop's center, size / 2, is put on the previous box's center, unrounded. Not clipped. The scaling is done in
    float32, as published.
    """
    scaled = np.asarray(prediction_cxcywh, dtype=np.float32) * np.float32(size) / np.float32(resize_factor)
    prediction, previous = scaled.astype(np.float64), np.asarray(previous_box_xywh, dtype=np.float64)
    center = prediction[:2] + (previous[:2] + 0.5 * previous[2:] - 0.5 * size / resize_factor)
    return np.concatenate((center - 0.5 * prediction[2:], prediction[2:]))
