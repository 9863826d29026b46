"""The check that stops a run before a loss that is no number reaches the weights."""

from __future__ import annotations

import torch
from torch import Tensor

from lib.data.batch import Batch
from lib.runtime.process import Process

_GRADIENT, _LOSS = 1, 2  # what the processes agree on: the larger number


class NonFiniteError(ValueError):
    """A loss or gradient that is NaN or infinite; the message names the step and the samples."""


def check_finite(
    process: Process,
    step: int,
    groups: list[tuple[Batch, Tensor]],
    gradient_norm: Tensor,
    may_overflow: bool = False,
) -> bool:
    """Raises NonFiniteError, the same in every process, if the loss of a group or the gradient is not finite.

    ``groups``: each batch of this process with its loss. With ``may_overflow``, a gradient that is not finite though
    every loss is raises nothing; then the answer is False. Collective, and the one place in a step where the host waits
    for the device.
    """
    *finite, norm_is_finite = torch.stack([*(loss.detach() for _, loss in groups), gradient_norm]).isfinite().tolist()
    fault = process.agree(_LOSS if not all(finite) else _GRADIENT if not norm_is_finite else 0)
    if not fault or (fault == _GRADIENT and may_overflow):
        return not fault
    faults = [
        f"loss {loss.item()} in samples {batch.numbers[0]} to {batch.numbers[-1]} ({'; '.join(batch.sources)})"
        for (batch, loss), is_finite in zip(groups, finite, strict=True)
        if not is_finite
    ]
    named = [fault for share in process.gather(faults) for fault in share]
    if not named:
        taken = "; ".join(
            source for share in process.gather([b.sources for b, _ in groups]) for s in share for source in s
        )
        named = [f"gradient norm {gradient_norm.item()} though every loss is finite, in samples {taken}"]
    raise NonFiniteError(f"step {step}: {', '.join(named)}")
