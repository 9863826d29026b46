"""What can be drawn of every family's decisions."""

import torch
from families import fresh, inputs, tiny

from lib.models.registry import FAMILIES


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
