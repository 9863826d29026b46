"""What holds for every family of networks, at a tiny size."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from lib.models.base import TrackingModel
from lib.models.pretrained import RELEASED
from lib.models.registry import MODELS, ModelConfig

TINY = {
    "grm": {
        "name": "grm",
        "pretrained": "none",
        "backbone": {"width": 32, "depth": 2, "heads": 2, "patch": 8},
        "division": {"hidden": 16},
        "head": {"kind": "center", "channels": 16},
    },
}


def configurations() -> tuple[type, ...]:
    """The configuration classes of all families."""
    return get_args(ModelConfig) or (ModelConfig,)


def build(name: str) -> TrackingModel:
    torch.manual_seed(0)
    [config] = [family for family in configurations() if name in get_args(family.model_fields["name"].annotation)]
    return MODELS[name](config(**TINY[name]), 32, 64).eval()


def inputs(batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    template, search = (torch.randn(batch, 3, size, size, generator=generator) for size in (32, 64))
    return template, torch.tensor([[0.25, 0.25, 0.5, 0.5]]).expand(batch, 4), search


def test_every_configuration_names_a_family_and_every_family_is_tried_here():
    named = [name for family in configurations() for name in get_args(family.model_fields["name"].annotation)]
    assert sorted(named) == sorted(MODELS) == sorted(TINY)
    assert len(set(named)) == len(named)


@pytest.mark.parametrize("name", MODELS)
def test_a_family_says_its_name_and_knows_its_released_weights(name):
    assert build(name).family == name
    assert name in RELEASED


@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_boxes_and_scores_of_every_candidate(name):
    prediction = build(name)(*inputs(2))
    batch, candidates, four = prediction.boxes.shape
    assert (batch, four) == (2, 4)
    assert prediction.scores.shape == (2, candidates)
    assert all(torch.isfinite(part).all() for part in prediction)
    assert (prediction.boxes[..., 2:] > 0).all()


@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_states_of_several_targets_can_be_stacked(name):
    """The state is a tensor or a tuple of tensors with a leading batch axis, and no sample sees another."""
    model = build(name)
    template, box, search = inputs(3)
    states = [model.encode_template(template[i : i + 1], box[i : i + 1]) for i in range(3)]
    if isinstance(states[0], torch.Tensor):
        stacked = torch.cat(states)
    else:
        stacked = tuple(torch.cat(parts) for parts in zip(*states, strict=True))
    torch.testing.assert_close(model.locate(stacked, search), model(template, box, search))
    one, all_three = model.locate(states[1], search[1:2]), model(template, box, search)
    torch.testing.assert_close(one.boxes[0], all_three.boxes[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_stands_in_one_group(name):
    model = build(name)
    grouped = [parameter for group in model.parameter_groups().values() for parameter in group]
    assert sorted(grouped) == sorted(key for key, parameter in model.named_parameters() if parameter.requires_grad)
