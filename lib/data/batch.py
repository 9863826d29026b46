"""Training pairs as tensors: one, or a group of them stacked."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Self

import torch


@dataclass(frozen=True, eq=False)
class Batch:
    """Training pairs, cropped and stacked.

    * ``numbers``: of the samples.
    * ``template``, ``search``: uint8 ``[B, 3, S, S]`` RGB; boxes: float32 ``[B, 4]`` xywh in fractions of the crop.
    * ``template_gain``, ``search_gain``: float64 ``[B]``, factors of brightness, which are applied on the device.
    * ``sources``: dataset, sequence and frames of each, for messages.
    * ``damaged``, ``empty``: a reason for each draw that was given up, for an image that cannot be read or a crop that
      shows nothing of its image.
    * ``missed``: number of the crops that were not in the crop store (0 without one).
    """

    numbers: tuple[int, ...]
    template: torch.Tensor
    template_box: torch.Tensor
    template_gain: torch.Tensor
    search: torch.Tensor
    search_box: torch.Tensor
    search_gain: torch.Tensor
    sources: tuple[str, ...]
    damaged: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    missed: int = 0

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def nbytes(self) -> int:
        """Size of all tensors in bytes."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, torch.Tensor))

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
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)}
        return replace(self, **{name: change(tensor) for name, tensor in tensors.items()})


def stack(batches: Iterable[Batch]) -> Batch:
    """One batch of several, at least one, in their order."""
    columns = zip(*([getattr(batch, item.name) for item in fields(Batch)] for batch in batches), strict=True)
    return Batch(*(
        torch.cat(values) if isinstance(values[0], torch.Tensor) else sum(values, start=type(values[0])())
        for values in columns
    ))  # fmt: skip
