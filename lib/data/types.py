"""The records that pass between disk, training, tracking and evaluation."""

from __future__ import annotations

from collections import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from lib.data.source import Location


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
    stands for a folder inside a packed dataset (``lib.data.source.Location``).
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

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, eq=False)
class Sample:
    """One training pair, cropped.

    Images are uint8 ``[3, S, S]`` RGB. Boxes are float32 ``[4]`` xywh in fractions of their own crop. The gains are the
    brightness factors that ``normalise`` applies on the device, in float, as the published code does on the host.
    ``source`` names dataset, sequence and frames for messages; ``redrawn`` says why earlier draws were given up;
    ``damaged`` are those of the reasons that name an image that cannot be read; ``missed`` is how many of the two crops
    a crop store did not have (0 without one).
    """

    number: int
    template: torch.Tensor
    template_box: torch.Tensor
    template_gain: float
    search: torch.Tensor
    search_box: torch.Tensor
    search_gain: float
    source: str
    redrawn: tuple[str, ...] = ()
    missed: int = 0
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Batch:
    """A group of samples stacked: uint8 ``[B, 3, S, S]`` images, float32 ``[B, 4]`` boxes (xywh, fractions of the
    crop), float32 ``[B]`` gains, and for messages the sample numbers, their sources (dataset, sequence, frames), the
    reason for every draw given up, those of damaged images once more by themselves, and the number of crops that were
    missed in a crop store."""

    numbers: tuple[int, ...]
    template: torch.Tensor
    template_box: torch.Tensor
    template_gain: torch.Tensor
    search: torch.Tensor
    search_box: torch.Tensor
    search_gain: torch.Tensor
    sources: tuple[str, ...]
    redrawn: tuple[str, ...] = field(default=())
    missed: int = 0
    damaged: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.numbers)

    def to(self, device: torch.device | str) -> Batch:
        """The batch with its tensors on ``device``; the copy does not block where the memory is pinned."""
        return self._with_tensors(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory; torch's loader calls this by its name."""
        return self._with_tensors(torch.Tensor.pin_memory)

    def _with_tensors(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return replace(self, **{name: change(v) for name, v in values.items() if isinstance(v, torch.Tensor)})
