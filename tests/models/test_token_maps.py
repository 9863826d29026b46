"""What can be drawn of every family's decisions."""

import pytest
import torch
from families import fresh, inputs, tiny

from lib.models.registry import FAMILIES

MAPS = [(family, name) for family, record in FAMILIES.items() for name in record.token_maps]


@pytest.mark.parametrize(("family", "name"), MAPS)
@torch.inference_mode()
def test_a_token_map_has_a_name_for_each_stage_and_a_value_for_each_token(family, name):
    experiment = tiny(family)
    model = fresh(experiment)
    values, stages, meaning = FAMILIES[family].token_maps[name](model, model(*inputs(experiment, 3)).extras)
    tokens = (experiment.search.size // experiment.model.stride) ** 2
    assert values.shape == (3, len(stages), tokens)
    assert values.dtype in (torch.bool, torch.float32)
    assert stages
    assert meaning


@torch.inference_mode()
def test_the_maps_are_the_networks_decisions():
    experiment = tiny("grm")
    model = fresh(experiment)
    extras = model(*inputs(experiment, 2)).extras
    division = FAMILIES["grm"].token_maps["division"](model, extras)
    assert torch.equal(division.values.float(), extras["interacts"])
    assert division.stages == tuple(f"block {number}" for number in range(2, experiment.model.backbone.depth + 1))

    experiment = tiny("ostrack")
    model = fresh(experiment)
    extras = model(*inputs(experiment, 2)).extras
    elimination = FAMILIES["ostrack"].token_maps["elimination"](model, extras)
    assert torch.equal(elimination.values[:, -1], ~extras["removed"].any(dim=1))
    assert elimination.stages == tuple(f"block {index + 1}" for index in experiment.model.elimination.blocks)


def test_a_network_that_decides_nothing_has_no_stages():
    cases = (("grm model.division.relation=one_stream", "division"), ("ostrack model.elimination=null", "elimination"))
    for changes, name in cases:
        family, override = changes.split()
        experiment = tiny(family, None, override)
        with torch.inference_mode():
            model = fresh(experiment)
            extras = model(*inputs(experiment, 1)).extras
        assert FAMILIES[family].token_maps[name](model, extras).stages == ()
