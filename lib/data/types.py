"""The records that pass between disk, training, tracking and evaluation. Without torch, as tracking may be."""

from __future__ import annotations

from collections import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from lib.data.stores.source import Location


# The key of ``Sequence.meta`` under which a reader notes why it takes frames of the sequence to be lost.
SHORTFALL = "shortfall"


class NumberedNames(abc.Sequence):
    """File names that are numbers in a row: ``pattern % first``, ``pattern % (first + 1)``, ... ``count`` of them.

    ``pattern`` has one integer conversion, ``%08d.jpg`` or ``img_%05d.jpg``.
    """

    def __init__(self, pattern: str, first: int, count: int) -> None:
        self.pattern, self.first, self.count = pattern, first, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int | slice) -> str | abc.Sequence[str]:
        numbers = range(self.first, self.first + self.count)[index]
        return [self.pattern % number for number in numbers] if isinstance(index, slice) else self.pattern % numbers


class FrameFiles(abc.Sequence):
    """The image files of one folder, in order, like a tuple of paths.

    A path is made when it is asked for: those of GOT-10k alone would take 280 MB. ``folder`` is a ``Path``, or what
    stands for a folder inside a packed dataset (``lib.data.stores.source.Location``).
    """

    def __init__(self, folder: Location, names: abc.Sequence[str]) -> None:
        self.folder = folder
        self.names = names if isinstance(names, NumberedNames) else np.array(names, dtype=str)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int | slice) -> Location | FrameFiles:
        if isinstance(index, slice):
            return FrameFiles(self.folder, self.names[index])
        return self.folder / str(self.names[index])

    def file_name(self, index: int) -> str:
        """The last part of a frame's path, which need not be made for it."""
        return str(self.names[index]).rpartition("/")[2]


class Outline(NamedTuple):
    """Which pixels of an image show an object, as an annotation says it: polygons, or runs of pixels.

    * ``numbers``: float32 ``[n]``: x, y, x, y ... of all polygons in pixels, top-left origin 0; or height and width of
      the image, then the lengths of runs down its columns, outside first and inside by turns (COCO's RLE).
    * ``rings``: int32 ``[k]``: how many of the numbers belong to each polygon; empty for runs.
    """

    numbers: np.ndarray
    rings: np.ndarray


@dataclass(frozen=True, eq=False)
class Sequence:
    """One annotated video, or one annotated object of an image set.

    * ``name``: unique inside its dataset, as published result files spell it.
    * ``dataset``: name of the dataset it was read from, for messages and logs.
    * ``frames``: one image file a frame, in order; a tuple or ``FrameFiles``.
    * ``boxes``: float64 ``[N, 4]`` xywh in pixels, top-left origin 0; NaN rows where unannotated. N equals the number
      of frames, or is 1 where only the first frame is annotated (test sets with a server).
    * ``visible``: bool ``[N]``, whether training may use that frame's box.
    * ``image_set``: True if the one frame stands for a video (COCO).
    * ``cover``: GOT-10k's visible share in eighths, int ``[N]``, or None; the GOT-10k protocol needs it.
    * ``absent``: bool ``[N]``, where the dataset itself says that the target cannot be seen (full occlusion, out of
      view), or None if it says nothing; some protocols leave these frames out.
    * ``outline``: of the object in the one frame of an image set, or None if no more than its box is known.
    * ``meta``: what else the dataset says of the sequence, in words (class, motion, language, resolution).
    """

    name: str
    dataset: str
    frames: abc.Sequence[Location]
    boxes: np.ndarray
    visible: np.ndarray
    image_set: bool = False
    cover: np.ndarray | None = None
    absent: np.ndarray | None = None
    meta: Mapping[str, str] = field(default_factory=dict)
    outline: Outline | None = None

    def __len__(self) -> int:
        return len(self.frames)
