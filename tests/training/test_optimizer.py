import json
import re
import signal

import pytest
import torch
import toy
from torch import nn

from lib.config.schema import ConfigError
from lib.training.actor import Actor
from lib.training.config import OptimizerConfig, TrainConfig
from lib.training.optimizer import build_optimizer, freeze, named_rates

NORMS = (r"head\.conv1_\w+\.1\.",)  # the BatchNorm of the head's first layers


def test_patterns_fit_beginnings_and_family_and_recipe_add_up():
    model = toy.ToyTracker()
    freeze(model, ("template",), (r"mix\.w", "mix"))
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert [name for name in frozen if not name.startswith("head.")] == [
        "template.weight", "template.bias", "mix.weight", "mix.bias"
    ]  # fmt: skip


def test_a_pattern_for_nothing_and_one_for_all_are_errors():
    with pytest.raises(ConfigError, match=r"^train.frozen: 'mixx', 'eight' fits the beginning of no parameter's name"):
        freeze(toy.ToyTracker(), (), ("mix", "mixx", "eight"))
    with pytest.raises(ConfigError, match=r"^train.frozen: freezes every parameter"):
        freeze(toy.ToyTracker(), (), ("",))
    with pytest.raises(ConfigError, match="^Family.frozen: 'mixx'"):
        freeze(toy.ToyTracker(), ("mixx",), ())


def test_a_pattern_that_is_no_regular_expression_is_refused():
    with pytest.raises(ValueError, match="should be a regular expression"):
        TrainConfig.model_validate_json(json.dumps({**toy.CONFIG, "frozen": ["(mix"]}))


def test_frozen_parameters_are_in_no_optimizer_group():
    """A group without parameters stays, so that its factor stays valid."""
    model = toy.ToyTracker()
    freeze(model, (), ("(?!head)",))
    optimizer = build_optimizer(model, OptimizerConfig(lr=0.4, weight_decay=0.01, lr_factors={"backbone": 0.1}))
    assert [len(group["params"]) for group in optimizer.param_groups] == [0, len(model.parameter_groups()["head"])]
    assert named_rates(optimizer, "lr") == pytest.approx({"backbone": 0.04, "head": 0.4})


def test_a_frozen_norm_stays_in_eval_form():
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
    actor = Actor(layers, nn.Identity()).train()
    assert [layer.training for layer in layers] == [True, True]
    layers[0].bias.requires_grad_(False)
    actor.train()
    assert [layer.training for layer in layers] == [False, True]


@pytest.mark.slow
def test_a_run_moves_no_frozen_number_and_goes_on_to_the_same_bits(tmp_path):
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


def test_groups_have_their_own_rates():
    model = toy.ToyTracker()
    optimizer = build_optimizer(model, OptimizerConfig(lr=0.4, weight_decay=0.01, lr_factors={"backbone": 0.1}))
    assert named_rates(optimizer, "lr") == pytest.approx({"backbone": 0.04, "head": 0.4})
    assert named_rates(optimizer, "base_lr") == pytest.approx({"backbone": 0.04, "head": 0.4})
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    assert {id(parameter) for parameter in optimizer.param_groups[1]["params"]} == {
        id(parameter) for parameter in model.head.parameters() if parameter.requires_grad
    }
    assert all(group["weight_decay"] == 0.01 for group in optimizer.param_groups)


def test_a_factor_of_an_unknown_group_names_the_known():
    config = OptimizerConfig(lr=0.4, weight_decay=0.0, lr_factors={"bakbone": 0.1})
    with pytest.raises(ConfigError, match="train.optimizer.lr_factors.*bakbone; this model has backbone, head"):
        build_optimizer(toy.ToyTracker(), config)


def test_what_does_not_decay_is_a_group_of_the_same_name():
    """A step without a gradient moves what decays, and only that."""
    model = toy.ToyTracker()
    freeze(model, (), ("template",))
    config = OptimizerConfig(
        lr=0.4, weight_decay=0.5, lr_factors={"backbone": 0.1}, no_decay=(".*bias$", r"head\.\w+\.1\.", "template")
    )
    optimizer = build_optimizer(model, config)
    found = [(group["name"], group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    assert [(name, decay) for name, _, decay in found] == [
        ("backbone", 0.5), ("backbone", 0.0), ("head", 0.5), ("head", 0.0)
    ]  # fmt: skip
    assert named_rates(optimizer, "lr") == pytest.approx({"backbone": 0.04, "head": 0.4})
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    before = {name: parameter.detach().clone() for name, parameter in trained.items()}
    for parameter in trained.values():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    moved = {name for name, parameter in trained.items() if not torch.equal(parameter, before[name])}
    assert moved == {name for name in trained if name.endswith("weight") and not re.match(r"head\.\w+\.1\.", name)}
    assert torch.allclose(model.mix.weight, before["mix.weight"] * (1 - 0.04 * 0.5))


def test_a_pattern_for_nothing_is_an_error():
    config = OptimizerConfig(lr=0.4, weight_decay=0.5, no_decay=(".*bias$", "norm"))
    with pytest.raises(ConfigError, match=r"^train.optimizer.no_decay: 'norm' fits the beginning of no "):
        build_optimizer(toy.ToyTracker(), config)


def test_every_parameter_must_be_in_one_group():
    model = toy.ToyTracker()
    groups = model.parameter_groups()
    model.parameter_groups = lambda: {"head": groups["head"]}
    with pytest.raises(AssertionError, match="every trainable parameter"):
        build_optimizer(model, OptimizerConfig(lr=0.4, weight_decay=0.0))
