"""The records that pass between disk, training, tracking and evaluation. They need no torch."""

from collections import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, Self

import numpy as np

# The key of ``Sequence.meta`` for a reader's note on frames of the sequence that are lost.
SHORTFALL = "shortfall"


class Location(Protocol):
    """A file or folder of a dataset: a ``Path``, or a ``lib.data.stores.packed.PackedFile``; its text names it in
    messages."""

    @property
    def name(self) -> str:
        """The last part of the path."""

    def __truediv__(self, name: str) -> Self: ...

    def read_bytes(self) -> bytes:
        """The file's bytes; ``OSError`` if they cannot be read."""


class NumberedNames(abc.Sequence):
    """``count`` file names with consecutive numbers: ``pattern % first``, ``pattern % (first + 1)``, ...

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

    A path is made on access: all paths of GOT-10k would take 280 MB. ``folder`` is a ``Path``, or a folder inside a
    packed dataset.
    """

    def __init__(self, folder: Location, names: abc.Sequence[str]) -> None:
        self.folder = folder
        self.names = names if isinstance(names, NumberedNames) else np.array(names, dtype=str)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int | slice) -> "Location | FrameFiles":
        if isinstance(index, slice):
            return FrameFiles(self.folder, self.names[index])
        return self.folder / str(self.names[index])


class Outline(NamedTuple):
    """The pixels of an image that show an object, as annotated: polygons, or runs of pixels.

    * ``numbers``: float32 ``[n]``: x, y, x, y ... of all polygons in pixels, top-left origin 0; or height and width of
      the image, then the lengths of runs down its columns, outside and inside in turn (COCO's RLE).
    * ``rings``: int32 ``[k]``: the count of numbers of each polygon; empty for runs.
    """

    numbers: np.ndarray
    rings: np.ndarray


@dataclass(frozen=True, eq=False)
class Sequence:
    """One annotated video, or one annotated object of an image set.

    * ``name``: unique inside its dataset, as published result files spell it.
    * ``dataset``: name of its dataset, for messages and logs.
    * ``frames``: one image file a frame, in order; a tuple or ``FrameFiles``.
    * ``boxes``: float64 ``[N, 4]`` xywh in pixels, top-left origin 0; NaN rows where unannotated. N equals the number
      of frames, or is 1 where only the first frame is annotated (test sets with a server).
    * ``visible``: bool ``[N]``, whether training may use that frame's box.
    * ``image_set``: True if its only frame is used as a video (COCO).
    * ``cover``: GOT-10k's visible share in eighths, int ``[N]``, or None; the GOT-10k protocol needs it.
    * ``absent``: bool ``[N]``, where the dataset marks the target as not visible (full occlusion, out of view), or None
      if it has no such marks; some protocols leave these frames out.
    * ``outline``: of the object in the only frame of an image set, or None if only its box is known.
    * ``meta``: further annotations of the sequence, in words (class, language, resolution).
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
