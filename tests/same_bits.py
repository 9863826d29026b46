"""Whether two trainings ended alike."""

from pathlib import Path

import torch

from lib.runtime.checkpoint import read_checkpoint


def same_bits(one: Path, other: Path) -> bool:
    """Whether two runs ended with the same weights, buffers and state of the optimiser."""
    states = [read_checkpoint(run / "checkpoints" / "last.pth") for run in (one, other)]
    ours, theirs = (
        {**state["model"], **{(index, name): value for index, values in state["optimizer"]["state"].items()
                              for name, value in values.items()}}
        for state in states
    )  # fmt: skip
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
