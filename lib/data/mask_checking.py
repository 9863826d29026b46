"""Faults of the mask of a target: the outline in the annotations, or the file of a folder."""

import cv2
import numpy as np

from lib.data.decoding.images import ImageError
from lib.data.masks import MaskFolder, outline_extent
from lib.data.types import Sequence

# The least overlap of the union of an annotated box and the box of its mask, if both show the same target.
MIN_OVERLAP = 0.5


def find_fault(
    sequence: Sequence, frame: int, shape: tuple[int, int], files: MaskFolder | None
) -> tuple[str, str] | None:
    """Kind (of ``lib.data.checking.KINDS``) and detail of the fault of the mask of a frame of this height and width;
    None if it is good. ``files`` holds the masks; without it, they are the outlines in the annotations."""
    location = sequence.frames[frame]
    if files is None:
        if sequence.outline is None:
            return "no_mask", f"{location.name}: no outline, or a mere box"
        left, top, right, bottom = outline_extent(sequence.outline)
    else:
        try:
            mask = files.read(sequence, frame, shape)
        except ImageError as error:
            return "no_mask" if isinstance(error.__cause__, FileNotFoundError) else "bad_mask", str(error)
        left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
        right, bottom = left + width, top + height
    if left >= right or top >= bottom:
        return "bad_mask", f"{location.name}: the outline has no pixel"
    x, y, width, height = sequence.boxes[frame].tolist()
    across, down = min(right, x + width) - max(left, x), min(bottom, y + height) - max(top, y)
    shared = max(0.0, across) * max(0.0, down)
    if shared < MIN_OVERLAP * (width * height + (right - left) * (bottom - top) - shared):
        found, stated = _words(left, top, right - left, bottom - top), _words(x, y, width, height)
        return "mask_box", f"{location.name}: the mask's box is {found}, the annotated one {stated}"
    return None


def _words(*box: float) -> str:
    return " ".join(f"{axis}={value:g}" for axis, value in zip("xywh", box, strict=True))
