"""Random changes of a training crop's place and size; ``lib.data.appearance`` has those of its look."""

import cv2
import numpy as np
from pydantic import NonNegativeFloat

from lib.config.schema import Section
from lib.geometry.aligned import CropMapping
from lib.geometry.crop import Context, CropConfig, target_size

LEAST_SEEN = 10  # crop pixels of a target that must be visible, along each axis


class JitterConfig(Section):
    """How far a crop is moved and resized around the target.

    * ``center``: the crop's center moves by up to ``center / 2`` along each axis, in units of the target's size:
      sqrt(w * h) for the context "area", (w + h) / 2 for "perimeter".
    * ``scale``: standard deviation of the logarithm of its width and height.
    """

    center: NonNegativeFloat = 0.0
    scale: NonNegativeFloat = 0.0


class Role(Section):
    """The crop that training takes of a template or search frame, and its jitter."""

    crop: CropConfig
    jitter: JitterConfig


def jitter_box(
    box_xywh: np.ndarray, config: JitterConfig, rng: np.random.Generator, context: Context = "area"
) -> np.ndarray:
    """A box near the target's, float64 ``[4]`` xywh, around which the crop is taken.

    Width and height are multiplied by exp(normal * scale), each with its own draw; the box's center moves by uniform
    (-1/2, 1/2) * center, in units of the new size: sqrt(w * h) (``_get_jittered_box`` of GRM, OSTrack and SimTrack), or
    (w + h) / 2 for the context "perimeter" (that of TransT).
    """
    # In plain floats, which take a third of the time of arrays of two.
    x, y, width, height = box_xywh.tolist()
    wider, higher = np.exp(rng.standard_normal(2) * config.scale).tolist()
    new_width, new_height = width * wider, height * higher
    unit = float(target_size(new_width, new_height, context))
    right, down = rng.random(2).tolist()
    reach = unit * config.center
    return np.array((
        x + 0.5 * width + reach * (right - 0.5) - 0.5 * new_width,
        y + 0.5 * height + reach * (down - 0.5) - 0.5 * new_height,
        new_width,
        new_height,
    ))  # fmt: skip


def jitter_mapping(
    mapping: CropMapping, box_xywh: np.ndarray, config: JitterConfig, size: int, rng: np.random.Generator
) -> CropMapping:
    """A mapping of a crop of ``size`` pixels near ``mapping``, in whose middle the box lies (LoRAT).

    The scale of each axis is divided by exp(normal * scale), and the crop moves by uniform (-1, 1) * center / 2, in
    units of the mean side of the box in the crop.
    """
    x, y, width, height = box_xywh.tolist()
    scale = np.asarray(mapping.scale) / np.exp(config.scale * rng.standard_normal(2))
    unit = 0.5 * (width * scale[0] + height * scale[1])
    center = np.array((x + 0.5 * width, y + 0.5 * height))
    shift = size / 2 - center * scale + rng.uniform(-1, 1, 2) * (0.5 * config.center * unit)
    return CropMapping(tuple(scale.tolist()), tuple(shift.tolist()))


def is_well_seen(box_xyxy: np.ndarray, size: int) -> bool:
    """Whether each side of a box, clipped to the crop of ``size`` pixels, has ``LEAST_SEEN`` pixels or more."""
    low, high = np.split(box_xyxy.clip(0, size), 2)
    return bool((high - low >= LEAST_SEEN).all())


def scale_box(box_xywh: np.ndarray, factor: float) -> np.ndarray:
    """The box with ``factor`` times its width and height around its center."""
    extent = box_xywh[2:] * factor
    return np.concatenate((box_xywh[:2] + 0.5 * (box_xywh[2:] - extent), extent))


def to_grayscale(image: np.ndarray) -> np.ndarray:
    """The RGB image without color, in three equal channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def mirror_box(box_xywh: np.ndarray, extent: float) -> np.ndarray:
    """The box after its image was flipped left to right.

    ``extent`` is W - 1 for pixels of an image W wide (a pixel off the exact mirror, as in the lineage), and 1 for
    fractions of a crop.
    """
    x, y, width, height = box_xywh
    return np.array((extent - (x + width), y, width, height), dtype=box_xywh.dtype)
