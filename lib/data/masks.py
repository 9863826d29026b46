"""The pixels of a frame that show its target: from an outline in the annotations, or from a mask in a file."""

from pathlib import Path

import cv2
import numpy as np

from lib.data.decoding.images import ImageError, open_image
from lib.data.files.source import Source
from lib.data.types import FrameFiles, Outline, Sequence
from lib.geometry.crop import Region

# Polygons are filled at this scale and averaged: OpenCV fills whole pixels, also on the border.
_FINER = 4
_SHIFT = 4  # bits of a corner's fraction, as cv2.fillPoly takes it

Mask = np.ndarray | Outline  # bool [H, W], or polygons


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


def find_mask(sequence: Sequence, frame: int, shape: tuple[int, int], folder: MaskFolder | None) -> Mask:
    """The target's mask in a frame of that height and width: from ``folder``, or else the sequence's outline.

    Raises ``ImageError`` as ``MaskFolder.read``.
    """
    if folder is not None:
        return folder.read(sequence, frame, shape)
    outline = sequence.outline
    assert outline is not None, "callers ask for a folder or an outline"
    if len(outline.rings):
        return outline
    numbers = outline.numbers.astype(np.int64)  # runs down the columns
    height, width, runs = int(numbers[0]), int(numbers[1]), numbers[2:]
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T.copy()


def mask_extent(mask: Mask) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a mask in pixels; without a pixel, a box without area."""
    if isinstance(mask, Outline):
        corners = mask.numbers.reshape(-1, 2)
        return (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return left, top, left + width, top + height


def draw_mask(mask: Mask, region: Region, shrink: int = 1) -> np.ndarray:
    """The share of each pixel that a mask covers, uint8 ``[h, w]`` up to 255, of ``region`` at 1 / ``shrink``.

    ``region`` is left, top, right and bottom in pixels; the last row and column of the result may be partly outside.
    """
    left, top, right, bottom = region
    width, height = -(-(right - left) // shrink), -(-(bottom - top) // shrink)
    if not isinstance(mask, Outline):
        pixels = np.zeros((bottom - top, right - left), dtype=np.uint8)
        part = mask[top:bottom, left:right]
        pixels[: part.shape[0], : part.shape[1]] = part * np.uint8(255)
        # The last blocks become whole: cv2.resize would stretch the others.
        beyond = (0, height * shrink - pixels.shape[0]), (0, width * shrink - pixels.shape[1])
        pixels = np.pad(pixels, beyond, mode="edge")
        return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    fine = np.zeros((height * _FINER, width * _FINER), dtype=np.uint8)
    corners = (mask.numbers.reshape(-1, 2) - (left, top)) * (_FINER / shrink) - 0.5
    rings = np.split(np.rint(corners * 2**_SHIFT).astype(np.int32), np.cumsum(mask.rings[:-1]) // 2)
    for ring in rings:  # one by one: where two overlap, both are the object's
        cv2.fillPoly(fine, [ring], 255, shift=_SHIFT)
    return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
