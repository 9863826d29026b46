"""Counting: parameters and multiply-adds against formulas, and against what layers see that run for real."""

from functools import partial
from math import prod

import pytest
import torch
from torch import Tensor, nn

from lib.models.backbones.vit import ViTConfig
from lib.models.grm import GRM, DivisionConfig, GRMConfig
from lib.models.heads.registry import HeadConfig
from lib.profiling.cost import Cost, Work, count_cost

WIDTH, PATCH, HIDDEN, CHANNELS = 32, 8, 16, 16
TEMPLATE, SEARCH = 16, 32
NZ, NX = (TEMPLATE // PATCH) ** 2, (SEARCH // PATCH) ** 2


def network(depth: int = 2, relation: str = "one_stream") -> GRM:
    config = GRMConfig(
        name="grm",
        pretrained="none",
        backbone=ViTConfig(width=WIDTH, depth=depth, heads=2, patch=PATCH),
        division=DivisionConfig(relation=relation, hidden=HIDDEN),
        head=HeadConfig(kind="center", channels=CHANNELS),
    )
    return GRM(config, TEMPLATE, SEARCH)


def cost(**changes: int | str) -> Cost:
    return count_cost(partial(network, **changes), TEMPLATE, SEARCH)


def branch(outputs: int) -> int:
    """Weights of a branch of the head, each of which works once for every cell."""
    sizes = [WIDTH, CHANNELS, CHANNELS // 2, CHANNELS // 4, CHANNELS // 8]
    return sum(9 * a * b for a, b in zip(sizes, sizes[1:], strict=False)) + sizes[-1] * outputs


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 3])
def test_multiply_adds_are_those_of_the_formula(depth):
    embed = 3 * PATCH**2 * WIDTH
    head = branch(1) + branch(2) + branch(2)
    tokens = NZ + NX
    layers = NX * (embed + head) + depth * tokens * 12 * WIDTH**2  # qkv 3, output 1, perceptron 4 and 4
    assert cost(depth=depth).template == Work(NZ * embed, 0)
    assert cost(depth=depth).frame == Work(layers, depth * 2 * tokens**2 * WIDTH)


@pytest.mark.slow
def test_division_adds_its_predictors():
    """A search token and the target's summary through three layers, in every block but the first."""
    predictor = 2 * WIDTH * HIDDEN + HIDDEN * HIDDEN // 2 + HIDDEN // 2 * 2
    plain, divided = cost(depth=4), cost(depth=4, relation="adaptive")
    assert divided.frame.layers - plain.frame.layers == 3 * NX * predictor
    assert divided.frame.attention == plain.frame.attention


def test_parameters_are_the_sum_over_the_network():
    state = network().state_dict()
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    owned = {name: value for name, value in state.items() if not name.endswith(statistics)}
    assert 0 < len(owned) < len(state)
    assert cost().parameters == sum(prod(value.shape) for value in owned.values())


def test_layers_are_what_layers_see_that_run_for_real():
    model, seen = network(relation="adaptive").eval(), []

    def see(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        weights = layer.weight[0].numel()  # of one output
        seen.append(output.numel() * weights)

    for layer in model.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            layer.register_forward_hook(see)
    with torch.no_grad():
        model(
            torch.zeros(1, 3, TEMPLATE, TEMPLATE),
            torch.tensor([[0.2, 0.2, 0.6, 0.6]]),
            torch.zeros(1, 3, SEARCH, SEARCH),
        )
    counted = cost(relation="adaptive")
    assert sum(seen) == counted.both.layers
    assert counted.both == counted.template + counted.frame
    assert counted.both.total == counted.both.layers + counted.both.attention


def test_a_large_network_takes_no_memory():
    """Its weights alone would take 160 GB."""
    config = ViTConfig(width=65536, depth=1, heads=64, patch=PATCH)
    build = partial(GRM, GRMConfig(name="grm", pretrained="none", backbone=config), TEMPLATE, SEARCH)
    assert count_cost(build, TEMPLATE, SEARCH).parameters > 12 * 65536**2
