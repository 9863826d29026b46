import json
import re
import signal

import pytest
from torch import nn

from lib.config.schema import ConfigError
from lib.training.actor import Actor
from lib.training.config import TrainConfig
from lib.training.frozen import freeze, rest_frozen_norms
from lib.training.optimizer import OptimizerConfig, build_optimizer, named_rates

NORMS = (r"head\.conv1_\w+\.1\.",)  # the BatchNorm of the head's first layers


def test_patterns_fit_beginnings_and_family_and_recipe_add_up(toy):
    model = toy.ToyTracker()
    freeze(model, ("template",), (r"mix\.w", "mix"))
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert [name for name in frozen if not name.startswith("head.")] == [
        "template.weight", "template.bias", "mix.weight", "mix.bias"
    ]  # fmt: skip


def test_a_pattern_for_nothing_and_one_for_all_are_errors(toy):
    with pytest.raises(ConfigError, match=r"^train.frozen: 'mixx', 'eight' fits the beginning of no parameter's name"):
        freeze(toy.ToyTracker(), (), ("mix", "mixx", "eight"))
    with pytest.raises(ConfigError, match=r"^train.frozen: freezes every parameter"):
        freeze(toy.ToyTracker(), (), ("",))
    with pytest.raises(ConfigError, match="^Family.frozen: 'mixx'"):
        freeze(toy.ToyTracker(), ("mixx",), ())


def test_a_pattern_that_is_no_regular_expression_is_refused(toy):
    with pytest.raises(ValueError, match="should be a regular expression"):
        TrainConfig.model_validate_json(json.dumps({**toy.CONFIG, "frozen": ["(mix"]}))


def test_frozen_parameters_are_in_no_optimizer_group(toy):
    """A group without parameters stays, so that its factor stays valid."""
    model = toy.ToyTracker()
    freeze(model, (), ("(?!head)",))
    optimizer = build_optimizer(model, OptimizerConfig(lr=0.4, weight_decay=0.01, lr_factors={"backbone": 0.1}))
    assert [len(group["params"]) for group in optimizer.param_groups] == [0, len(model.parameter_groups()["head"])]
    assert named_rates(optimizer, "lr") == pytest.approx({"backbone": 0.04, "head": 0.4})


def test_a_frozen_norm_stays_in_eval_form(toy):
    model = toy.ToyTracker()
    freeze(model, (), NORMS)
    actor = Actor(model, nn.Identity())
    norms = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.BatchNorm2d)}
    for mode in (True, False, True):
        actor.train(mode)
        assert {name for name, layer in norms.items() if layer.training} == {
            name for name in norms if mode and not name.startswith("head.conv1_")
        }


def test_a_norm_of_which_a_part_is_trained_or_without_parameters_is_trained_as_ever():
    layers = nn.Sequential(nn.BatchNorm2d(2), nn.BatchNorm2d(2, affine=False))
    layers[0].weight.requires_grad_(False)
    rest_frozen_norms(layers.train())
    assert [layer.training for layer in layers] == [True, True]
    layers[0].bias.requires_grad_(False)
    rest_frozen_norms(layers)
    assert [layer.training for layer in layers] == [False, True]


def test_a_run_moves_no_frozen_number_and_goes_on_to_the_same_bits(toy, tmp_path):
    wanted = {"frozen": ["template", *NORMS]}
    before = toy.build_trainer(tmp_path, **wanted).actor.model.state_dict()
    end, left = toy.train(tmp_path / "whole", **wanted)
    assert end.finished
    still = {name for name, value in before.items() if value.double().flatten().tolist() == left[name]}
    frozen = {name for name in before if name.startswith("template.") or re.match(NORMS[0], name)}
    assert {name for name in still if not name.endswith(".0.bias") and name != "head.cells"} == frozen
    assert any(name.endswith("running_mean") for name in frozen)
    assert not toy.train(tmp_path / "stopped", **wanted, stop_at=(signal.SIGTERM, 21))[0].finished
    assert toy.train(tmp_path / "stopped", **wanted)[1] == left
