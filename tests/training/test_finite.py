from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lib.runtime.process import Process
from lib.training.finite import NonFiniteError, check_finite

ALONE = Process(0, 1, 0, torch.device("cpu"))


def groups(*losses: float):
    batches = [SimpleNamespace(numbers=(2 * i, 2 * i + 1), sources=(f"a/{2 * i}", f"a/{2 * i + 1}")) for i in range(9)]
    return [(batch, torch.tensor(loss, requires_grad=True)) for batch, loss in zip(batches, losses, strict=False)]


def test_finite_losses_pass():
    assert check_finite(ALONE, 3, groups(1.0, 2.0), torch.tensor(5.0))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_the_samples_of_the_group_are_named(bad):
    with pytest.raises(NonFiniteError) as error:
        check_finite(ALONE, 3, groups(1.0, bad, 2.0), torch.tensor(5.0))
    assert str(error.value) == f"step 3: loss {bad} in samples 2 to 3 (a/2; a/3)"


def test_a_gradient_that_is_no_number_names_all():
    with pytest.raises(NonFiniteError, match="step 3: gradient norm inf .* a/0; a/1; a/2; a/3"):
        check_finite(ALONE, 3, groups(1.0, 2.0), torch.tensor(float("inf")))


def test_an_overflow_is_allowed_where_it_is_expected_and_a_loss_never():
    assert not check_finite(ALONE, 3, groups(1.0, 2.0), torch.tensor(float("nan")), may_overflow=True)
    assert check_finite(ALONE, 3, groups(1.0, 2.0), torch.tensor(5.0), may_overflow=True)
    with pytest.raises(NonFiniteError, match="step 3: loss nan in samples 0 to 1"):
        check_finite(ALONE, 3, groups(float("nan")), torch.tensor(float("nan")), may_overflow=True)
