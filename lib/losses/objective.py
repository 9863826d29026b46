"""What every objective takes and gives; which one a network has follows from its head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from pydantic import NonNegativeFloat
from torch import Tensor

from lib.config.schema import Section
from lib.models.base import HeadPrediction


class ObjectiveConfig(Section):
    """Weights of the terms that most heads have, ``giou`` and ``l1`` of the box; the objective of a head adds its own.
    The values are those of the papers by default."""

    giou: NonNegativeFloat = 2.0
    l1: NonNegativeFloat = 5.0


class ObjectiveResult(NamedTuple):
    """What an objective says of one group, scalars all: the weighted ``total`` to differentiate and the unweighted
    ``terms`` by name, both in float32, and ``monitors`` that are only logged (no gradient): integers are counts."""

    total: Tensor
    terms: dict[str, Tensor]
    monitors: dict[str, Tensor]


class Objective(Protocol):
    """Judges a head's prediction; ``weights`` are those of its terms, by name. If it ``counts_steps``, all groups of a
    step have one denominator: it has a method ``count(search_box, grid)``, and is called with the group's share of all
    counts as ``count``."""

    weights: Mapping[str, float]
    counts_steps: bool = False

    def __call__(self, prediction: HeadPrediction, search_box: Tensor) -> ObjectiveResult:
        """``search_box`` ``[B, 4]``: the true boxes, xywh in fractions of the search crop."""
