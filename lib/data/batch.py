"""Training pairs as tensors: one sample, and a group of samples stacked."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Self

import torch


@dataclass(frozen=True, eq=False)
class Sample:
    """One training pair, cropped.

    * ``template``, ``search``: uint8 ``[3, S, S]`` RGB; their boxes: float32 ``[4]`` xywh in fractions of the crop.
    * ``template_gain``, ``search_gain``: factors of brightness, which are applied on the device.
    * ``source``: dataset, sequence and frames, for messages.
    * ``redrawn``: the reason for each draw that was given up; ``damaged``: the reasons among them that name an image
      that cannot be read.
    * ``missed``: number of the two crops that were not in the crop store (0 without one).
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
    """A group of samples stacked; see ``Sample``. Images are uint8 ``[B, 3, S, S]``, boxes float32 ``[B, 4]``, gains
    float32 ``[B]``; reasons of all samples are in one tuple, missed crops are summed."""

    numbers: tuple[int, ...]
    template: torch.Tensor
    template_box: torch.Tensor
    template_gain: torch.Tensor
    search: torch.Tensor
    search_box: torch.Tensor
    search_gain: torch.Tensor
    sources: tuple[str, ...]
    redrawn: tuple[str, ...] = ()
    missed: int = 0
    damaged: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.numbers)

    def to(self, device: torch.device | str) -> Self:
        """The batch with its tensors on ``device``; the copy does not block if the memory is pinned."""
        return self._with_tensors(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """The batch in page-locked memory. torch's loader calls it."""
        return self._with_tensors(torch.Tensor.pin_memory)

    def shared(self) -> Self:
        """The batch with its tensors moved to memory that another process can map; ``RuntimeError`` if it is full."""
        return self._with_tensors(torch.Tensor.share_memory_)

    def _with_tensors(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Self:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return replace(self, **{name: change(v) for name, v in values.items() if isinstance(v, torch.Tensor)})
