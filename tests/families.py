"""A small experiment of every family for tests that hold over all of them: its tiny twin, with any of the heads."""

from collections.abc import Iterable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from lib.experiment.config import EXPERIMENTS, ExperimentConfig, load_experiment
from lib.models.base import TrackingModel
from lib.models.heads.registry import HeadKind
from lib.models.registry import FAMILIES

# Twins keep every path of the large networks: experiments/<anything>_tiny.yaml, by the family that it names.
TWINS = {load_experiment(path).model.name: path.stem for path in sorted(EXPERIMENTS.glob("*_tiny.yaml"))}
# An epoch in which every schedule inside a network has come to its end, as OSTrack's elimination.
LATE = 1000
# What brings such schedules into a training of two epochs.
QUICK_SCHEDULES = {"ostrack": ("model.elimination.schedule.start=0", "model.elimination.schedule.length=2")}
HEADS: tuple[HeadKind, ...] = get_args(HeadKind)
FAMILIES_AND_HEADS = [(family, head) for family in FAMILIES for head in HEADS]
# Each family with its published head and with one other, so that each head meets several families: for tests whose
# code does not depend on the pair.
COVERING_PAIRS = [
    (family, HEADS[(HEADS.index(load_experiment(twin).model.head.kind) + step) % len(HEADS)])
    for family, twin in TWINS.items()
    for step in (0, 1)
]

# What the experiments and the papers' ablations change in a network, beside its sizes.
VARIANTS = (
    ("grm", "division.relation=one_stream"),
    ("grm", "division.relation=two_stream"),
    ("lorat", "lora.enabled=false"),
    ("lorat", "backbone.ffn=swiglu"),
    ("ostrack", "elimination=null"),
    ("ostrack", "backbone.style=clip"),
    ("simtrack", "backbone.style=timm"),
    ("simtrack", "backbone.foveal=0"),
    ("simtrack", "backbone.exemplar_position=image"),
    ("simtrack", "backbone.interact_every=2"),
    ("simtrack", "backbone.one_way=true"),
    ("simtrack", "decoder_layers=2"),
    ("stark_sv", "backbone.style=timm"),
    ("transt", "fusion.ego_context=false"),
    ("transt", "fusion.cross_feature=false"),
    ("transt", "fusion.ego_context=false fusion.cross_feature=false"),
    ("transt", "fusion.kind=transformer"),
)


def slow_but(cases: Iterable[Any], *quick: Any) -> list[Any]:
    """The cases as parameters of a test that is slow for all but the ``quick`` ones."""
    rows = [(case, case if isinstance(case, tuple) else (case,)) for case in cases]
    return [pytest.param(*values, marks=[pytest.mark.slow] * (case not in quick)) for case, values in rows]


def tiny(family: str, head: HeadKind | None = None, *overrides: str) -> ExperimentConfig:
    """The family's twin, with ``head`` in place of its published one, and overrides (``train.epochs=2``)."""
    chosen = () if head is None else (f"model.head.kind={head}",)
    return load_experiment(TWINS[family], (*chosen, *overrides))


def variant(family: str, changes: str) -> ExperimentConfig:
    """The family's twin with the changes of ``VARIANTS``."""
    return tiny(family, None, *(f"model.{change}" for change in changes.split()))


def fresh(experiment: ExperimentConfig) -> TrackingModel:
    """The experiment's network in eval mode, always with the same weights.

    As in ``build_model``; here BatchNorm's statistics are not those it starts with, so that they matter, and vectors
    (biases, norms) are not at the 0 and 1 they start from, behind which much can hide.
    """
    torch.manual_seed(0)
    model = FAMILIES[experiment.model.name].network(experiment.model, experiment.template.size, experiment.search.size)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.8, 1.2)
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) / 20)
    return model.eval()


def inputs(experiment: ExperimentConfig, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Template crops, boxes in them and search crops, of noise."""
    generator = torch.Generator().manual_seed(1)
    template, search = (
        torch.randn(batch, 3, size, size, generator=generator)
        for size in (experiment.template.size, experiment.search.size)
    )
    size = torch.rand(batch, 2, generator=generator) * 0.3 + 0.3
    return template, torch.cat([0.5 - size / 2, size], dim=1), search


def true_boxes(batch: int) -> Tensor:
    """Boxes ``[batch, 4]``, xywh, well within the search crop."""
    generator = torch.Generator().manual_seed(2)
    size = torch.rand(batch, 2, generator=generator) * 0.2 + 0.2
    return torch.cat([torch.rand(batch, 2, generator=generator) * (0.9 - size), size], dim=1)


def stack(states: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """States of single targets as the state of all: a tuple of tensors with a leading batch axis."""
    return tuple(torch.cat(parts) for parts in zip(*states, strict=True))
