"""Crops whose image part begins and ends at whole pixels of the image and of the crop (LoRAT).

Their place, their pixels in float32, and boxes into them and out of them. Each axis has its own scale.
"""

import math
from collections import abc
from typing import NamedTuple

import cv2
import numpy as np

Region = tuple[int, int, int, int]

# Share of a pixel: an end of a rectangle that reaches further into a pixel takes it in.
REACHED = 1e-4


class CropMapping(NamedTuple):
    """From image to crop along x and y: a place p of the image lies at ``scale * p + shift`` in crop pixels. Pixel i is
    the stretch from i to i + 1."""

    scale: tuple[float, float]
    shift: tuple[float, float]

    def to_crop(self, box_xyxy: abc.Sequence[float] | np.ndarray) -> np.ndarray:
        """A box in image pixels, in crop pixels: float64 xyxy."""
        return np.asarray(box_xyxy, dtype=np.float64) * (self.scale * 2) + np.asarray(self.shift * 2)

    def to_image(self, box_xyxy: abc.Sequence[float] | np.ndarray) -> np.ndarray:
        """A box in crop pixels, in image pixels: float64 xyxy."""
        return (np.asarray(box_xyxy, dtype=np.float64) - np.asarray(self.shift * 2)) / (self.scale * 2)


class AlignedWindow(NamedTuple):
    """A crop of ``size`` pixels a side that shows the pixels ``source`` of an image in its pixels ``target``.

    Both are left, top, right, bottom with exclusive ends, and empty if the crop shows nothing. ``mapping`` takes one
    into the other, and boxes of the image into the crop.
    """

    size: int
    source: Region
    target: Region
    mapping: CropMapping

    def inside(self, _image_shape: abc.Sequence[int]) -> Region:
        """As ``Window.inside``; the window belongs to one image."""
        return self.source

    def is_full(self, _image_shape: abc.Sequence[int]) -> bool:
        """Whether the whole crop shows the image."""
        return self.target == (0, 0, self.size, self.size)

    def fit(
        self,
        pixels: np.ndarray,
        _image_shape: abc.Sequence[int],
        _size: int,
        value: abc.Sequence[float] | float = 0,
        flipped: bool = False,
    ) -> np.ndarray:
        """As ``Window.fit``, in float32 and without means of many pixels where the crop shrinks."""
        crop = np.empty((self.size, self.size, 3), dtype=np.float32)
        if not self.is_full(_image_shape):
            crop[...] = value
        left, top, right, bottom = self.target
        if left < right and top < bottom:
            shown = cv2.flip(pixels, 1) if flipped else pixels
            size = right - left, bottom - top
            crop[top:bottom, left:right] = cv2.resize(shown.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
        return crop

    def box_to_crop(self, box_xywh: abc.Sequence[float] | np.ndarray) -> np.ndarray:
        """A box in image pixels in fractions of the crop: float32 ``[4]`` xywh, not clipped."""
        x, y, width, height = (float(value) for value in box_xywh)
        box = self.mapping.to_crop((x, y, x + width, y + height))
        return (np.concatenate((box[:2], box[2:] - box[:2])) / self.size).astype(np.float32)

    def box_from_crop(self, box_cxcywh: abc.Sequence[float] | np.ndarray) -> np.ndarray:
        """A box in fractions of the crop, cxcywh, in image pixels: float64 ``[4]`` xywh, not clipped."""
        center, half = np.split(np.asarray(box_cxcywh, dtype=np.float64), 2)
        box = self.mapping.to_image(np.concatenate((center - half / 2, center + half / 2)) * self.size)
        return np.concatenate((box[:2], box[2:] - box[:2]))


def align(mapping: CropMapping, size: int, image_shape: abc.Sequence[int]) -> AlignedWindow:
    """The crop of ``size`` pixels that is nearest to ``mapping``; ``image_shape`` begins with height and width.

    The target is the image's place in the crop, clipped to the crop and widened to whole pixels. The source is the
    target's place in the image, widened to whole pixels and clipped to the image. A crop beside the image, for which
    the published code has no mapping (NaN), keeps the one given.
    """
    height, width = image_shape[:2]
    target = _whole_pixels(mapping.to_crop((0, 0, width, height)).clip(0, size))
    read = _whole_pixels(mapping.to_image(target))
    left, top, right, bottom = (min(max(0, edge), end) for edge, end in zip(read, (width, height) * 2, strict=True))
    source = left, top, right, bottom
    if _is_empty(target) or _is_empty(source):
        return AlignedWindow(size, source, target, mapping)
    scale, shift = zip(*(_line(source[i::2], target[i::2]) for i in (0, 1)), strict=True)
    return AlignedWindow(size, source, target, CropMapping(scale, shift))


def _whole_pixels(box_xyxy: np.ndarray) -> Region:
    left, top, right, bottom = box_xyxy.tolist()
    end = 1 - REACHED
    return math.floor(left), math.floor(top), math.floor(right + end), math.floor(bottom + end)


def _line(source: abc.Sequence[int], target: abc.Sequence[int]) -> tuple[float, float]:
    """Scale and shift, as float32 has them, that take the ends of ``source`` to those of ``target``."""
    scale = np.float32(target[1] - target[0]) / np.float32(source[1] - source[0])
    return float(scale), float(np.float32(target[0]) - np.float32(source[0]) * scale)


def _is_empty(region: Region) -> bool:
    left, top, right, bottom = region
    return left >= right or top >= bottom
