"""The square window around a target: where it lies, its pixels at the network's size, boxes into it and out of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from pydantic import PositiveFloat, PositiveInt

from lib.config.schema import Section

Box = Sequence[float] | np.ndarray


class CropConfig(Section):
    """How a crop is taken: its side in network pixels, and the window's side in units of sqrt(w * h) of the target."""

    size: PositiveInt
    factor: PositiveFloat


class Window(NamedTuple):
    """A square of image pixels, from column ``x1`` and row ``y1``, ``side`` pixels long; it may leave the image.

    A crop of ``size`` pixels taken from it has the resize factor ``size / side``.
    """

    x1: int
    y1: int
    side: int


def crop_window(box_xywh: Box, factor: float) -> Window:
    """The window centred on a box in pixels, of side ceil(sqrt(w * h) * factor), corner rounded half to even.

    Raises ``ValueError`` for a box without area, or with a number that is not finite.
    """
    x, y, width, height = (float(value) for value in box_xywh)
    area = width * height
    if not (math.isfinite(x + y) and math.isfinite(area) and width > 0 and area > 0):
        shown = f"x={x:g} y={y:g} w={width:g} h={height:g}"
        raise ValueError(f"cannot crop around box {shown}: the numbers must be finite, w and h above 0")
    side = math.ceil(math.sqrt(area) * factor)
    return Window(round(x + 0.5 * width - side * 0.5), round(y + 0.5 * height - side * 0.5), side)


def _inside(start: int, side: int, length: int) -> tuple[int, int]:
    """First and past-the-end index, counted in the window, of its pixels that come from an image axis of ``length``.

    Kept from the lineage because released weights have seen it: a window that reaches the right or bottom border, even
    exactly, loses the image's last column or row. Not kept: a window wholly left of or above the image has no pixels
    of it here, where the published slice wraps around and shows some.
    """
    first = max(0, -start)
    return first, max(first, min(start + side, length - 1) - start)


def cut(image: np.ndarray, window: Window, size: int) -> np.ndarray:
    """The window's pixels, bilinearly resized: uint8 ``[size, size, 3]``, contiguous; 0 outside the image.

    Bit-equal to the published crop (``sample_target`` of GRM and OSTrack) but for windows wholly left of or above the
    image, which are all padding here.
    """
    left, right = _inside(window.x1, window.side, image.shape[1])
    top, bottom = _inside(window.y1, window.side, image.shape[0])
    pixels = image[window.y1 + top : window.y1 + bottom, window.x1 + left : window.x1 + right]
    if pixels.shape[:2] != (window.side, window.side):
        # zeros, not copyMakeBorder: a window far larger than the image then costs only the memory that is read.
        padded = np.zeros((window.side, window.side, image.shape[2]), dtype=image.dtype)
        padded[top:bottom, left:right] = pixels
        pixels = padded
    return cv2.resize(pixels, (size, size))


def padding_mask(image_shape: Sequence[int], window: Window, size: int) -> np.ndarray:
    """Which pixels of ``cut(image, window, size)`` any padding went into: bool ``[size, size]``.

    ``image_shape`` begins with height and width. The published mask is 1 on padding, resized bilinearly, and True where
    not 0. Weights are never negative and a pixel is padding by its row or its column alone, so two resized lines tell.
    """
    lines = []
    for start, length in ((window.y1, image_shape[0]), (window.x1, image_shape[1])):
        first, end = _inside(start, window.side, length)
        line = np.ones((window.side, 1))
        line[first:end] = 0
        lines.append(cv2.resize(line, (1, size))[:, 0] != 0)
    rows, columns = lines
    return rows[:, None] | columns


def box_to_crop(box_xywh: Box, reference_box_xywh: Box, resize_factor: float, size: int) -> np.ndarray:
    """A box in image pixels, float32 ``[4]`` xywh in fractions of the crop that was cut around ``reference_box_xywh``.

    The reference's centre is taken to lie at (size - 1) / 2 crop pixels and the rounding of the window's corner is
    ignored, as in the lineage's labels. ``box_from_crop`` differs by half a crop pixel; networks have learned that.
    """
    box, reference = np.asarray(box_xywh, dtype=np.float32), np.asarray(reference_box_xywh, dtype=np.float32)
    offset = box[:2] + np.float32(0.5) * box[2:] - (reference[:2] + np.float32(0.5) * reference[2:])
    center = np.float32((size - 1) / 2) + offset * np.float32(resize_factor)
    extent = box[2:] * np.float32(resize_factor)
    return np.concatenate((center - np.float32(0.5) * extent, extent)) / np.float32(size)


def box_from_crop(prediction_cxcywh: Box, previous_box_xywh: Box, resize_factor: float, size: int) -> np.ndarray:
    """A predicted box, cxcywh in fractions of the crop cut around ``previous_box_xywh``, in image pixels: float64 xywh.

    The crop's centre, size / 2, is put on the previous box's centre, unrounded. Not clipped. The scaling is done in
    float32, as published.
    """
    scaled = np.asarray(prediction_cxcywh, dtype=np.float32) * np.float32(size) / np.float32(resize_factor)
    prediction, previous = scaled.astype(np.float64), np.asarray(previous_box_xywh, dtype=np.float64)
    center = prediction[:2] + (previous[:2] + 0.5 * previous[2:] - 0.5 * size / resize_factor)
    return np.concatenate((center - 0.5 * prediction[2:], prediction[2:]))
