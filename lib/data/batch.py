"""Training pairs as tensors: one sample, and a group of samples stacked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace

import torch


@dataclass(frozen=True, eq=False)
class Sample:
    """One training pair, cropped.

    Images are uint8 ``[3, S, S]`` RGB. Boxes are float32 ``[4]`` xywh in fractions of their own crop. The gains are the
    brightness factors that ``normalize`` applies on the device, in float, as the published code does on the host.
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

    def shared(self) -> Batch:
        """The batch with its tensors moved to memory that another process can map; ``RuntimeError`` if it is full."""
        return self._with_tensors(torch.Tensor.share_memory_)

    def _with_tensors(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return replace(self, **{name: change(v) for name, v in values.items() if isinstance(v, torch.Tensor)})
