"""No parameter and no buffer of a fresh network is memory as the allocator gave it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from families import COVERING_PAIRS, tiny
from torch import Tensor, nn

from lib.experiment.build import build_model


@contextmanager
def new_memory_is_nan() -> Iterator[None]:
    """Inside the block, PyTorch fills what ``torch.empty`` and its like allocate: floating point with NaN, integers
    with the largest number. No random number is drawn for that."""
    before = torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Buffers that no checkpoint holds included."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


@pytest.mark.parametrize(("family", "head"), COVERING_PAIRS)
def test_every_number_of_every_family_with_any_head_is_set(family, head):
    experiment = tiny(family, head)
    with new_memory_is_nan():
        found = tensors(build_model(experiment))
    assert [name for name, value in found.items() if not torch.isfinite(value).all()] == []
    expected = tensors(build_model(experiment))
    assert found.keys() == expected.keys()
    assert [name for name, value in expected.items() if not torch.equal(value, found[name])] == []


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.int64])
def test_the_test_sees_what_is_not_set(kind):
    with new_memory_is_nan():
        for value in (torch.empty(3, dtype=kind), torch.zeros(2).new_empty(3, dtype=kind)):
            assert (value.isnan() if kind.is_floating_point else value == torch.iinfo(kind).max).all()
        assert nn.Parameter(torch.empty_like(torch.ones(3))).isnan().all()
