from __future__ import annotations

import pytest
import torch

from lib.data.loader import collate
from lib.losses.center import CenterObjective
from lib.losses.objective import ObjectiveConfig
from lib.models.base import normalise
from lib.training.actor import Actor


@pytest.fixture
def batch(toy):
    return collate([toy.ToyPairs(3).sample(number) for number in range(6)])


def test_what_an_actor_says_is_what_model_and_objective_say(toy, batch):
    model, objective = toy.ToyTracker().eval(), CenterObjective(ObjectiveConfig())
    result = Actor(model, objective)(batch)
    prediction = model(
        normalise(batch.template, batch.template_gain), batch.template_box, normalise(batch.search, batch.search_gain)
    )
    expected = objective(prediction, batch.search_box)
    assert torch.equal(result.loss, expected.total)
    assert result.loss.requires_grad
    assert result.values.keys() == {"loss", "share_a", *expected.terms, *expected.monitors}
    assert not any(value.requires_grad for value in result.values.values())
    assert result.values["share_a"].tolist() == [prediction.extras["interacts"].mean().item()]


def test_bf16_computes_the_network_in_bf16_and_the_loss_in_float32(toy, batch):
    model, seen = toy.ToyTracker().eval(), []
    model.search.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    objective = CenterObjective(ObjectiveConfig())
    losses = {precision: Actor(model, objective, precision)(batch).loss for precision in ("fp32", "bf16")}
    assert seen == [torch.float32, torch.bfloat16]
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"].item() == pytest.approx(losses["fp32"].item(), rel=0.05)
