"""COCO's outlines of objects (polygons, runs as numbers or as text) as one record."""

from typing import Any

import numpy as np

from lib.data.types import Outline

# A character of the text of runs is this one plus 5 bits of a number, and a sixth bit if more follow.
_ZERO = 48


def pack_outline(segmentation: Any) -> Outline | None:
    """The value of ``segmentation`` of an annotation as a record.

    None if it is no outline, has polygons of less than three corners, or is a single rectangle along the axes, with
    which sets without outlines fill the field.
    """
    try:
        if isinstance(segmentation, dict):
            return _pack_runs(segmentation)
        rings = [np.array(ring, dtype=np.float32) for ring in segmentation]
    except (TypeError, ValueError, KeyError, OverflowError):
        return None
    rings = [ring for ring in rings if ring.ndim == 1 and len(ring) >= 6 and len(ring) % 2 == 0]
    if not rings or not all(np.isfinite(ring).all() for ring in rings) or (len(rings) == 1 and _is_box(rings[0])):
        return None
    return Outline(np.concatenate(rings), np.array([len(ring) for ring in rings], dtype=np.int32))


def _is_box(ring: np.ndarray) -> bool:
    if not len(np.unique(ring[0::2])) == len(np.unique(ring[1::2])) == 2:
        return False
    return len(np.unique(ring.reshape(-1, 2), axis=0)) == 4


def _pack_runs(segmentation: dict[str, Any]) -> Outline | None:
    height, width = map(int, segmentation["size"])
    counts = segmentation["counts"]
    runs = decode_runs(counts) if isinstance(counts, str) else list(map(int, counts))
    if min(height, width, *runs, 0) < 0 or sum(runs) != height * width or height * width > 2**24:
        return None  # float32 holds whole numbers up to 2 ** 24
    return Outline(np.array((height, width, *runs), dtype=np.float32), np.empty(0, dtype=np.int32))


def decode_runs(text: str) -> list[int]:
    """The lengths of runs of COCO's compressed text (``rleFrString`` of cocodataset/cocoapi, common/maskApi.c).

    A number is little-endian in groups of 5 bits, signed by the last group's bit 4; from the fourth on it is the
    difference to the number two before. Raises ``ValueError`` for a text that ends inside a number.
    """
    runs: list[int] = []
    value = shift = 0
    for bits in (ord(character) - _ZERO for character in text):
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("the text ends inside a number")
    return runs
