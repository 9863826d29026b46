"""Objects cut out by their masks: loaded, placed in a frame, measured and pasted."""

import math
from typing import NamedTuple

import cv2
import numpy as np

from lib.data.decoding.images import ImageError, open_image
from lib.data.masks import MaskFolder, draw_mask, find_mask, mask_extent
from lib.data.types import Sequence
from lib.geometry.crop import Window

MIN_PASTED = 10.0  # sqrt(w * h) of a pasted object in pixels, at least
MAX_ENLARGED = 2.0  # size of a pasted object, as a multiple of the size in its own image, at most
MAX_HIDDEN = 0.3  # share of a target that its look-alike may hide
MIN_SEEN = 1 / 3  # share of a target that must be visible within the frame and beside the look-alike
BOX_DETAIL = 128.0  # pixels of sqrt(w * h) at which the visible part is measured; the frame's own if these are fewer
_SHRINKS = (8, 4, 2, 1)
_HALF = 128  # of a mask's 255
_BORDER = 2  # pixels around a cut-out's mask; its soft edge takes one of them
_NOTHING = np.zeros(4)


class Cutout(NamedTuple):
    """An object cut out of its image.

    * ``pixels``: uint8 ``[h, w, 4]``: RGB and the object's share of each pixel, up to 255, with an empty border.
    * ``center`` (x, y), ``extent`` (width, height): of the mask's box in these pixels.
    * ``shrink``: so many pixels of the image are one of these along each axis.
    """

    pixels: np.ndarray
    center: np.ndarray
    extent: np.ndarray
    shrink: int

    @property
    def size(self) -> float:
        """sqrt(w * h) of the mask's box in these pixels."""
        return math.sqrt(self.extent[0] * self.extent[1])


class Layer(NamedTuple):
    """A cut-out in a frame: a point p of it lies at ``turn @ p + shift`` of the frame, both in pixels counted from the
    top left corner of the first pixel."""

    cutout: Cutout
    turn: np.ndarray
    shift: np.ndarray

    @property
    def center(self) -> np.ndarray:
        """The middle of the mask's box in the frame: x, y."""
        return self.turn @ self.cutout.center + self.shift

    @property
    def reach(self) -> np.ndarray:
        """Half of the width and height of the mask's box in the frame."""
        return np.abs(self.turn) @ self.cutout.extent / 2

    def draw(self, origin: np.ndarray, scale: float, size: tuple[int, int]) -> np.ndarray:
        """The part of the frame from ``origin`` on, at ``scale``: uint8 ``[h, w, 4]`` of ``size`` (w, h)."""
        turn = self.turn * scale
        shift = (self.shift - origin) * scale + turn @ (0.5, 0.5) - 0.5
        return cv2.warpAffine(self.cutout.pixels, np.column_stack((turn, shift)), size, flags=cv2.INTER_LINEAR)


def load_cutout(sequence: Sequence, frame: int, masks: MaskFolder | None, detail: float, decoder: str) -> Cutout:
    """The target of a frame, cut out by its mask in ``masks``, or else by the sequence's outline.

    The image is decoded at the smallest scale at which the target still has ``detail`` pixels of sqrt(w * h). Raises
    ``ImageError`` for an image or mask that cannot be read, and for a mask that shows nothing of its image.
    """
    image = open_image(sequence.frames[frame], decoder)
    height, width = image.shape
    mask = find_mask(sequence, frame, image.shape, masks)
    left, top, right, bottom = mask_extent(mask)
    left, top, right, bottom = max(0.0, left), max(0.0, top), min(width, right), min(height, bottom)
    if left >= right or top >= bottom:
        raise ImageError(f"{sequence.frames[frame]}: the outline of {sequence.name} shows nothing of this image")
    size = math.sqrt((right - left) * (bottom - top))
    shrink = next(shrink for shrink in _SHRINKS if shrink == 1 or size / shrink >= detail)
    first = tuple(math.floor(value / shrink) * shrink for value in (left, top))
    last = (min(math.ceil(value / shrink) * shrink, most) for value, most in ((right, width), (bottom, height)))
    region = (*first, *last)
    pixels = image.pixels(region) if shrink == 1 else image.reduced(shrink, region)
    cover = draw_mask(mask, region, shrink)
    if not (cover >= _HALF).any():
        raise ImageError(f"{sequence.frames[frame]}: the mask of {sequence.name} shows less than a pixel")
    # A soft edge: a network would find a cut-out that is sharper than its surroundings by that alone.
    sides = (_BORDER,) * 4
    rgb = cv2.copyMakeBorder(pixels, *sides, cv2.BORDER_REPLICATE)
    cover = cv2.GaussianBlur(cv2.copyMakeBorder(cover, *sides, cv2.BORDER_CONSTANT), (3, 3), 0)
    corners = (np.array((left, top, right, bottom)) - np.tile(region[:2], 2)) / shrink + _BORDER
    return Cutout(np.dstack((rgb, cover)), (corners[:2] + corners[2:]) / 2, corners[2:] - corners[:2], shrink)


def place_cutout(cutout: Cutout, size: float, center: np.ndarray, angle: float, mirrored: bool = False) -> Layer:
    """The cut-out around ``center`` of a frame, with ``size`` pixels of sqrt(w * h), then turned by ``angle`` (radians,
    x towards y). The size is bounded by ``MIN_PASTED`` and ``MAX_ENLARGED``."""
    size = max(min(size, MAX_ENLARGED * cutout.size * cutout.shrink), MIN_PASTED)
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array(((cosine, -sine), (sine, cosine))) * (size / cutout.size)
    if mirrored:
        turn[:, 0] *= -1
    return Layer(cutout, turn, center - turn @ cutout.center)


def place_beside(layer: Layer, other: Layer, direction: float, distance: float) -> Layer:
    """``other``, moved in that direction (radians) from the center of ``layer``, at ``distance`` times the distance at
    which their boxes touch."""
    step = np.array((math.cos(direction), math.sin(direction)))
    touching = ((layer.reach + other.reach) / np.maximum(np.abs(step), 1e-9)).min()
    return other._replace(shift=other.shift + layer.center + step * touching * distance - other.center)


def mirror(layer: Layer, width: int) -> Layer:
    """The layer after its frame was flipped left to right."""
    sides = np.array((-1.0, 1.0))
    return layer._replace(turn=layer.turn * sides[:, None], shift=layer.shift * sides + (width, 0))


def find_visible_part(
    target: Layer, other: Layer | None, above: bool, shape: tuple[int, int]
) -> tuple[np.ndarray, list[Layer]]:
    """The box of the visible part of a target in a frame of height and width ``shape``, float64 ``[4]`` xywh, and the
    layers in the order in which they are pasted.

    With ``above``, ``other`` is pasted above the target if it hides at most ``MAX_HIDDEN`` of it. The box has no area
    if less than ``MIN_SEEN`` of the target is visible.
    """
    layers = [target] if other is None else [other, target]
    height, width = shape
    first = np.floor(np.maximum(target.center - target.reach, 0))
    last = np.ceil(np.minimum(target.center + target.reach, (width, height)))
    if (last <= first).any():
        return _NOTHING, layers
    scale = min(1.0, BOX_DETAIL / (target.cutout.size * _scale(target)))
    size = tuple(np.ceil((last - first) * scale).astype(int).tolist())
    seen = target.draw(first, scale, size)[:, :, 3] >= _HALF
    if above and other is not None:
        hidden = seen & (other.draw(first, scale, size)[:, :, 3] >= _HALF)
        if hidden.sum() <= MAX_HIDDEN * seen.sum():
            seen &= ~hidden
            layers = [target, other]
    whole = (target.cutout.pixels[:, :, 3] >= _HALF).sum() * (_scale(target) * scale) ** 2
    if seen.sum() < max(1, MIN_SEEN * whole):
        return _NOTHING, layers
    x, y, w, h = cv2.boundingRect(seen.view(np.uint8))
    corner = first + np.array((x, y)) / scale
    # The last pixel may be larger than one of the frame's and reach out of it.
    return np.concatenate((corner, np.minimum(corner + np.array((w, h)) / scale, last) - corner)), layers


def paste(canvas: np.ndarray, layer: Layer, window: Window, shape: tuple[int, int]) -> None:
    """Paste a layer into ``canvas``, uint8 ``[S, S, 3]``, the crop of ``window`` in a frame of height and width
    ``shape``; pixels outside the frame stay as they are."""
    scale = len(canvas) / window.side
    corner = np.array((window.x1, window.y1))
    left, top, right, bottom = window.inside(shape)
    reach = layer.reach + _BORDER * _scale(layer) + 1 / scale
    first = np.maximum(layer.center - reach, (left, top))
    last = np.minimum(layer.center + reach, (right, bottom))
    first, last = (np.rint((point - corner) * scale).astype(int) for point in (first, last))
    if (last <= first).any():
        return
    drawn = layer.draw(corner + first / scale, scale, tuple((last - first).tolist()))
    part = canvas[first[1] : last[1], first[0] : last[0]]
    cover = drawn[:, :, 3:].astype(np.float32) / 255
    part[...] = np.rint(part + (drawn[:, :, :3] - part.astype(np.float32)) * cover)


def _scale(layer: Layer) -> float:
    """Side of a pixel of the cut-out in pixels of the frame."""
    return math.sqrt(abs(np.linalg.det(layer.turn)))
