"""The interface of objectives. The head of a network decides its objective."""

from collections import abc
from typing import NamedTuple, Protocol

from pydantic import NonNegativeFloat
from torch import Tensor

from lib.config.schema import Section
from lib.models.base import HeadPrediction


class ObjectiveConfig(Section):
    """Weights of the terms of the box, ``giou`` and ``l1``; some heads add others. Defaults are the papers'."""

    giou: NonNegativeFloat = 2.0
    l1: NonNegativeFloat = 5.0


class ObjectiveResult(NamedTuple):
    """Scalars of one group: the weighted ``total`` to differentiate, the unweighted ``terms`` by name (both float32),
    and ``monitors``, which are only logged; integers among them are counts."""

    total: Tensor
    terms: dict[str, Tensor]
    monitors: dict[str, Tensor]


class Objective(Protocol):
    """Compares a head's prediction with the true box; ``weights`` are those of its terms, by name.

    If it ``counts_steps``, all groups of a step share one denominator: it has a method ``count(search_box, grid)``, and
    is called with the group's share of the sum of all counts as ``count``.
    """

    weights: abc.Mapping[str, float]
    counts_steps: bool = False

    def __call__(self, prediction: HeadPrediction, search_box: Tensor) -> ObjectiveResult:
        """``search_box`` ``[B, 4]``: the true boxes, xywh in fractions of the search crop."""
