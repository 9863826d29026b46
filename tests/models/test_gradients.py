"""Every parameter of every family and of every head learns; the exceptions are listed here with their reasons."""

import functools
import re
from typing import NamedTuple

import pytest
import torch
from families import COVERING_PAIRS, LATE, VARIANTS, fresh, inputs, tiny, true_boxes
from torch import Tensor

from lib.models.heads.registry import HEADS

BATCH = 6
# Of a bias's largest gradient over its layer's weight's: real ones lie above 1e-2, those of rounding below 1e-5.
ROUNDING = 1e-3


class WithoutGradient(NamedTuple):
    """Parameters, by a pattern of their whole names and a part of them, which theory gives no gradient."""

    names: str
    part: str  # "all", or "query", "key" or "value": that third of a packed projection
    reason: str


EXCEPTIONS = {
    "key bias": WithoutGradient(
        r".*\.(qkv\.|in_proj_)bias", "key", "shifts all logits of a query alike; the softmax undoes it"
    ),
    "bias of keys apart": WithoutGradient(r".*\.qkv\.k\.linear\.bias", "all", "as a key bias"),
    "bias before BatchNorm": WithoutGradient(
        r"box_head\.conv[1-4]_\w+\.0\.bias", "all", "shifts a whole channel, whose mean BatchNorm takes off again"
    ),
    "bias between linear layers": WithoutGradient(
        r"backbone\.network\.blocks\.(2\.0\.bn2|3\.0\.bn3)\.bias",
        "all",
        "shifts the input of 1x1 convolutions alone, whose BatchNorm takes the mean off again",
    ),
    "bias of a corner map": WithoutGradient(
        r"box_head\.conv5_(tl|br)\.bias", "all", "shifts the whole map; the softmax over it undoes that"
    ),
    "lone query's values": WithoutGradient(
        r"transformer\.decoder\.layers\.0\.self_attn\.in_proj_weight",
        "value",
        "STARK's decoder starts from targets that are zero, and these are its values",
    ),
    "lone query's queries": WithoutGradient(
        r"transformer\.decoder\.layers\.\d+\.self_attn\.in_proj_(weight|bias)",
        "query",
        "the softmax over STARK's single query is always 1",
    ),
    "lone query's keys": WithoutGradient(
        r"transformer\.decoder\.layers\.\d+\.self_attn\.in_proj_weight", "key", "as its queries"
    ),
}
PACKED = re.compile(r"(\.qkv\.|in_proj_)(weight|bias)$")
PARTS = ("query", "key", "value")


class Part(NamedTuple):
    """A parameter, or a third of a packed one, with the size of its gradient."""

    name: str
    part: str
    gradient: float  # its largest entry, over that of the layer's weight if it is a bias


def size(gradient: Tensor) -> float:
    return gradient.abs().max().item()


def split(name: str, gradients: dict[str, Tensor]) -> list[Part]:
    """The parts of the parameter ``name``."""
    gradient = gradients[name]
    weight = gradients.get(name.removesuffix("bias") + "weight") if name.endswith("bias") else None
    if not PACKED.search(name):
        return [Part(name, "all", size(gradient) / (1 if weight is None else size(weight)))]
    # The values of STARK's lone query have a bias that learns, and weights that do not.
    scale = 1 if weight is None else size(weight) or size(gradient)
    return [Part(name, part, size(third) / scale) for part, third in zip(PARTS, gradient.chunk(3), strict=True)]


@functools.cache
def parts(family: str, head: str | None, *overrides: str) -> tuple[list[str], list[Part]]:
    """The names of parameters that the loss does not reach at all, and all parts of the others, of one training step.

    Boxes lie within the crop, so that an MLP head has positives; biases are not at 0, as ``fresh`` says.
    """
    experiment = tiny(family, head, *overrides)
    model = fresh(experiment).train()
    torch.manual_seed(3)
    prediction = model(*inputs(experiment, BATCH), epoch=LATE)
    HEADS[experiment.model.head.kind].objective(experiment.objective)(prediction, true_boxes(BATCH)).total.backward()
    unreached = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    return unreached, [part for name in gradients for part in split(name, gradients)]


def excepted(part: Part) -> bool:
    return any(
        re.fullmatch(exception.names, part.name) and exception.part == part.part for exception in EXCEPTIONS.values()
    )


def learns(part: Part) -> bool:
    return part.gradient > (ROUNDING if part.name.endswith("bias") else 0)


@pytest.mark.parametrize(("family", "head"), COVERING_PAIRS)
def test_every_parameter_gets_a_gradient_but_for_the_listed(family, head):
    unreached, found = parts(family, head)
    assert unreached == []
    assert all(part.gradient < float("inf") for part in found)
    assert [part for part in found if excepted(part) == learns(part)] == []


@pytest.mark.parametrize(("family", "changes"), VARIANTS)
def test_every_parameter_of_a_variant_gets_a_gradient_but_for_the_listed(family, changes):
    unreached, found = parts(family, None, *(f"model.{change}" for change in changes.split()))
    assert unreached == []
    assert [part for part in found if excepted(part) == learns(part)] == []


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_each_exception_is_met(name):
    exception = EXCEPTIONS[name]
    met = {
        (family, head)
        for family, head in COVERING_PAIRS
        for part in parts(family, head)[1]
        if re.fullmatch(exception.names, part.name) and exception.part == part.part
    }
    assert met, f"no parameter has no gradient because it {exception.reason}"


def test_rounding_is_not_taken_for_learning():
    """A layer whose channels' means are taken off has a bias that learns nothing, and one without that has."""
    torch.manual_seed(0)
    layer, inputs_of_layer = torch.nn.Linear(5, 3), torch.randn(40, 5)
    for centered, expected in ((True, False), (False, True)):
        layer.zero_grad()
        outputs = layer(inputs_of_layer)
        outputs = torch.nn.functional.batch_norm(outputs, None, None, training=True) if centered else outputs.tanh()
        (outputs * torch.randn(40, 3)).sum().backward()
        gradients = {name: parameter.grad for name, parameter in layer.named_parameters()}
        assert [learns(part) for part in split("bias", gradients)] == [expected]
