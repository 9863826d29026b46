import re

import pytest
import torch

from lib.config.schema import ConfigError
from lib.training.frozen import freeze
from lib.training.optimizer import OptimizerConfig, build_optimizer, named_rates, set_rates


def test_groups_have_their_own_rates(toy):
    model = toy.ToyTracker()
    optimizer = build_optimizer(model, OptimizerConfig(lr=0.4, weight_decay=0.01, lr_factors={"backbone": 0.1}))
    assert named_rates(optimizer, "lr") == pytest.approx({"backbone": 0.04, "head": 0.4})
    set_rates(optimizer, 0.5)
    assert named_rates(optimizer, "lr") == pytest.approx({"backbone": 0.02, "head": 0.2})
    assert named_rates(optimizer, "base_lr") == pytest.approx({"backbone": 0.04, "head": 0.4})
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    assert {id(parameter) for parameter in optimizer.param_groups[1]["params"]} == {
        id(parameter) for parameter in model.head.parameters() if parameter.requires_grad
    }
    assert all(group["weight_decay"] == 0.01 for group in optimizer.param_groups)


def test_without_factors_all_train_at_one_rate(toy):
    optimizer = build_optimizer(toy.ToyTracker(), OptimizerConfig(lr=0.4, weight_decay=0.0))
    assert named_rates(optimizer, "lr") == {"backbone": 0.4, "head": 0.4}


def test_a_factor_of_an_unknown_group_names_the_known(toy):
    config = OptimizerConfig(lr=0.4, weight_decay=0.0, lr_factors={"bakbone": 0.1})
    with pytest.raises(ConfigError, match="train.optimizer.lr_factors.*bakbone; this model has backbone, head"):
        build_optimizer(toy.ToyTracker(), config)


def test_what_does_not_decay_is_a_group_of_the_same_name(toy):
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


def test_a_pattern_for_nothing_is_an_error(toy):
    config = OptimizerConfig(lr=0.4, weight_decay=0.5, no_decay=(".*bias$", "norm"))
    with pytest.raises(ConfigError, match=r"^train.optimizer.no_decay: 'norm' fits the beginning of no "):
        build_optimizer(toy.ToyTracker(), config)


def test_every_parameter_must_be_in_one_group(toy):
    model = toy.ToyTracker()
    groups = model.parameter_groups()
    model.parameter_groups = lambda: {"head": groups["head"]}
    with pytest.raises(AssertionError, match="every trainable parameter"):
        build_optimizer(model, OptimizerConfig(lr=0.4, weight_decay=0.0))
