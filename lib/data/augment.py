"""The random changes of where a training crop lies, and of its side; how it looks is ``lib.data.appearance``."""

from __future__ import annotations

import math

import cv2
import numpy as np
from pydantic import NonNegativeFloat

from lib.config.schema import Section
from lib.geometry.crop import Context


class JitterConfig(Section):
    """How far a crop is moved and resized around the target.

    ``center``: the crop's centre moves by up to ``center / 2`` along each axis, times the target's size as the crop's
    context measures it: sqrt(w * h) for "area", (w + h) / 2 for "perimeter". ``scale``: standard deviation of the
    logarithm of its width and height.
    """

    center: NonNegativeFloat = 0.0
    scale: NonNegativeFloat = 0.0


def jitter_box(
    box_xywh: np.ndarray, config: JitterConfig, rng: np.random.Generator, context: Context = "area"
) -> np.ndarray:
    """A box near the target's, float64 ``[4]`` xywh, around which the crop is taken.

    Width and height are multiplied by exp(normal * scale), each with its own draw; the box's centre moves by uniform
    (-1/2, 1/2) * center, in units of the new size: sqrt(w * h) (``_get_jittered_box`` of GRM, OSTrack and SimTrack), or
    (w + h) / 2 for the context "perimeter" (that of TransT).
    """
    # In plain floats, which take a third of the time of arrays of two.
    x, y, width, height = box_xywh.tolist()
    wider, higher = np.exp(rng.standard_normal(2) * config.scale).tolist()
    new_width, new_height = width * wider, height * higher
    unit = math.sqrt(new_width * new_height) if context == "area" else 0.5 * (new_width + new_height)
    right, down = rng.random(2).tolist()
    reach = unit * config.center
    return np.array((
        x + 0.5 * width + reach * (right - 0.5) - 0.5 * new_width,
        y + 0.5 * height + reach * (down - 0.5) - 0.5 * new_height,
        new_width,
        new_height,
    ))  # fmt: skip


def scale_box(box_xywh: np.ndarray, factor: float) -> np.ndarray:
    """The box with ``factor`` times its width and height around its centre."""
    extent = box_xywh[2:] * factor
    return np.concatenate((box_xywh[:2] + 0.5 * (box_xywh[2:] - extent), extent))


def to_grayscale(image: np.ndarray) -> np.ndarray:
    """The RGB image without colour, in three equal channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def mirror_box(box_xywh: np.ndarray, extent: float) -> np.ndarray:
    """The box after its image was flipped left to right.

    ``extent`` is W - 1 for pixels of an image W wide, which is a pixel off the exact mirror, as the lineage has it; and
    1 for fractions of a crop.
    """
    x, y, width, height = box_xywh
    return np.array((extent - (x + width), y, width, height), dtype=box_xywh.dtype)
