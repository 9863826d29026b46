"""The pixels of a frame that show its target: from an outline in the annotations, or from a mask in a file."""

from pathlib import Path

import cv2
import numpy as np

from lib.data.decoding.images import ImageError, mean_of_squares, open_image
from lib.data.files.source import Source
from lib.data.types import FrameFiles, Outline, Sequence
from lib.geometry.crop import Region

# Polygons are filled at this scale and averaged: OpenCV fills whole pixels, also on the border.
_FINER = 4
_SHIFT = 4  # bits of a corner's fraction, as cv2.fillPoly takes it


class MaskFolder:
    """Masks of a dataset's frames: below ``root``, the path of a mask is its frame's in the dataset, with ``.png``.

    A pixel above 0 shows the target. ``source`` is the dataset's.
    """

    def __init__(self, root: Path, source: Source) -> None:
        self.root, self._source = root, source

    def path(self, sequence: Sequence, frame: int) -> Path:
        """The path of the mask of a frame; the disk is not asked."""
        frames = sequence.frames
        assert isinstance(frames, FrameFiles), "readers give FrameFiles"
        folder = self.root / self._source.key_of(frames.folder)
        return folder / f"{str(frames.names[frame]).rpartition('.')[0]}.png"

    def read(self, sequence: Sequence, frame: int, shape: tuple[int, int]) -> np.ndarray:
        """bool ``[H, W]`` of a frame of that height and width.

        Raises ``ImageError`` for a mask that is missing, damaged, of another size or empty.
        """
        path = self.path(sequence, frame)
        mask = open_image(path, "opencv").pixels().any(axis=2)
        if mask.shape != shape:
            sizes = f"{mask.shape[1]} x {mask.shape[0]}, its frame {shape[1]} x {shape[0]}"
            raise ImageError(f"{path}: the mask is {sizes}; get it again")
        if not mask.any():
            raise ImageError(f"{path}: the mask shows no pixel of the target; remove it, or get it again")
        return mask


def outline_extent(outline: Outline) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of an outline in pixels; runs without a pixel give a box without area."""
    if len(outline.rings):
        corners = outline.numbers.reshape(-1, 2)
        return (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
    left, top, width, height = cv2.boundingRect(_run_mask(outline).view(np.uint8))
    return left, top, left + width, top + height


def draw_outline(outline: Outline, region: Region, shrink: int = 1) -> np.ndarray:
    """The share of each pixel that an outline covers, uint8 ``[h, w]`` up to 255, of ``region`` at 1 / ``shrink``.

    ``region`` is left, top, right and bottom in pixels; the last row and column of the result may be partly outside.
    """
    left, top, right, bottom = region
    if not len(outline.rings):
        mask = np.zeros((bottom - top, right - left), dtype=bool)
        part = _run_mask(outline)[top:bottom, left:right]
        mask[: part.shape[0], : part.shape[1]] = part
        return shrink_mask(mask, shrink)
    width, height = -(-(right - left) // shrink), -(-(bottom - top) // shrink)
    fine = np.zeros((height * _FINER, width * _FINER), dtype=np.uint8)
    corners = (outline.numbers.reshape(-1, 2) - (left, top)) * (_FINER / shrink) - 0.5
    rings = np.split(np.rint(corners * 2**_SHIFT).astype(np.int32), np.cumsum(outline.rings[:-1]) // 2)
    for ring in rings:  # one by one: where two overlap, both are the object's
        cv2.fillPoly(fine, [ring], 255, shift=_SHIFT)
    return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)


def shrink_mask(mask: np.ndarray, shrink: int) -> np.ndarray:
    """The share of each block of ``shrink x shrink`` pixels of a bool mask ``[h, w]`` that is set: uint8 up to 255."""
    return mean_of_squares(mask.astype(np.uint8) * 255, shrink)


def _run_mask(outline: Outline) -> np.ndarray:
    """bool ``[H, W]`` of runs down the columns."""
    numbers = outline.numbers.astype(np.int64)
    height, width, runs = int(numbers[0]), int(numbers[1]), numbers[2:]
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(width, height).T.copy()
