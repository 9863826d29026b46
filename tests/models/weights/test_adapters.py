import hashlib

import pytest
import torch
from torch import nn

from lib.models.base import Family
from lib.models.weights.adapters import FrozenWeights, complete, frozen_names, sum_of_weights
from lib.runtime.checkpoint import CheckpointError


class Pair(nn.Module):
    """Frozen weights and an adapter; ``family`` as a network's class has it."""

    family = Family.__new__(Family)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.frozen, self.adapter = nn.Linear(2, 3), nn.BatchNorm1d(3)


object.__setattr__(Pair.family, "frozen", lambda config: (f"{config}\\.",))
NAMES = frozenset({"frozen.weight", "frozen.bias"})


def frozen(value: float | None = None) -> FrozenWeights:
    def load(model: Pair) -> None:
        if value is None:
            raise CheckpointError("model.pretrained: a.pth does not exist")
        nn.init.constant_(model.frozen.weight, value)
        nn.init.constant_(model.frozen.bias, value)

    return FrozenWeights("a.pth", NAMES, load)


def adapter() -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in Pair().state_dict().items() if name not in NAMES}


def stated(value: float) -> dict[str, str]:
    model = Pair()
    frozen(value).load(model)
    return {"pretrained": "a.pth", "sha256": sum_of_weights(model.state_dict(), NAMES)}


def test_the_frozen_names_are_those_of_the_record():
    assert frozen_names(Pair(), "frozen") == NAMES
    assert frozen_names(Pair(), "absent") == frozenset()


def test_the_sum_is_of_the_bytes_in_the_order_of_names():
    weights = {"b": torch.arange(3.0), "a": torch.tensor(1, dtype=torch.int64), "c": torch.zeros(2)}
    expected = hashlib.sha256(weights["a"].numpy().tobytes() + weights["b"].numpy().tobytes()).hexdigest()
    assert sum_of_weights(weights, ["b", "a"]) == expected
    assert sum_of_weights({"a": torch.ones(2, 3).T, "b": weights["b"]}, ["a"]) == sum_of_weights(
        {"a": torch.ones(6)}, "a"
    )


@pytest.mark.parametrize("about", [None, stated(2.0)])
def test_a_file_is_completed_with_the_frozen_weights(about):
    model, weights = Pair(), adapter()
    whole = complete(model, weights, frozen(2.0), about, "x.pth")
    assert whole.keys() == model.state_dict().keys()
    assert (whole["frozen.weight"] == 2).all()
    assert all(whole[name] is weights[name] for name in weights)


def test_a_complete_file_needs_no_frozen_weights():
    weights = Pair().state_dict()
    assert complete(Pair(), weights, frozen(), None, "x.pth") == weights
    assert complete(Pair(), weights, None, None, "x.pth") == weights


def test_other_frozen_weights_are_refused_with_both_sums():
    with pytest.raises(CheckpointError) as error:
        complete(Pair(), adapter(), frozen(3.0), stated(2.0), "x.pth")
    message = str(error.value)
    assert message.startswith("x.pth: was trained over weights of sha256 ")
    assert stated(2.0)["sha256"] in message
    assert stated(3.0)["sha256"] in message
    assert "\n" not in message
    for broken in ({}, 5, {"sha256": 3}):
        with pytest.raises(CheckpointError, match="^x.pth: was trained over weights of sha256"):
            complete(Pair(), adapter(), frozen(3.0), broken, "x.pth")


def test_missing_frozen_weights_are_one_line():
    with pytest.raises(
        CheckpointError, match="^x.pth: holds trained tensors alone, .*: model.pretrained: a.pth does not"
    ):
        complete(Pair(), adapter(), frozen(), None, "x.pth")
    with pytest.raises(CheckpointError, match="^x.pth: holds trained tensors alone, but nothing is frozen"):
        complete(Pair(), adapter(), None, stated(2.0), "x.pth")


def test_a_file_that_lacks_other_names_is_left_to_the_strict_loading():
    weights = adapter()
    del weights["adapter.weight"]
    assert complete(Pair(), weights, frozen(2.0), None, "x.pth") == weights
    only_a_part = {**adapter(), "frozen.bias": torch.zeros(3)}
    assert complete(Pair(), only_a_part, frozen(2.0), None, "x.pth").keys() == only_a_part.keys()
