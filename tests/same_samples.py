"""Whether two samples, or two batches, are the same."""

from dataclasses import fields

import torch

from lib.data.batch import Batch


def assert_same(one: Batch, other: Batch, but: tuple[str, ...] = ()) -> None:
    """All fields are equal, tensors to the bit, except for ``but``."""
    for name in {field.name for field in fields(Batch)} - set(but):
        mine, yours = getattr(one, name), getattr(other, name)
        assert torch.equal(mine, yours) if isinstance(mine, torch.Tensor) else mine == yours, name
