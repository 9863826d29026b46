from __future__ import annotations

import pytest

from lib.config.schema import ConfigError
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


def test_every_parameter_must_be_in_one_group(toy):
    model = toy.ToyTracker()
    groups = model.parameter_groups()
    model.parameter_groups = lambda: {"head": groups["head"]}
    with pytest.raises(AssertionError, match="every trainable parameter"):
        build_optimizer(model, OptimizerConfig(lr=0.4, weight_decay=0.0))
