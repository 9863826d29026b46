"""The interface of heads: predictions of candidate boxes, the objectives that train them, and the record of both."""

from abc import ABC, abstractmethod
from collections import abc
from typing import Any, NamedTuple

from pydantic import NonNegativeFloat
from torch import Tensor, nn

from lib.config.schema import Section


class Prediction(NamedTuple):
    """N candidate boxes for each sample: ``boxes`` ``[B, N, 4]`` cxcywh in fractions of the crop, ``scores``
    ``[B, N]``.

    The predictions of all heads begin with these fields. Their last, ``extras``, holds the network's own decisions by
    name; each family documents them.
    """

    boxes: Tensor
    scores: Tensor


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


class Objective(ABC):
    """Compares a head's prediction with the true box. ``terms`` are the names of its terms, under which ``config`` has
    their ``weights``.

    If it ``counts_steps``, all groups of a step share one denominator: ``count`` is added up over the groups, and each
    call gets the group's share of the sum as ``count``.
    """

    terms: tuple[str, ...]
    counts_steps = False

    def __init__(self, config: Any) -> None:
        self.config = config
        self.weights: dict[str, float] = {name: getattr(config, name) for name in self.terms}

    @abstractmethod
    def __call__(self, prediction: Any, search_box: Tensor, count: Tensor | None = None) -> ObjectiveResult:
        """``search_box`` ``[B, 4]``: the true boxes, xywh in fractions of the search crop."""

    def count(self, search_box: Tensor, grid: int) -> Tensor:
        """The group's part of the step's denominator, an integer scalar, for a grid of that side."""
        raise NotImplementedError

    def result(self, terms: dict[str, Tensor], monitors: dict[str, Tensor]) -> ObjectiveResult:
        """The terms with their weighted sum."""
        total = sum(weight * terms[name] for name, weight in self.weights.items())
        return ObjectiveResult(total, terms, monitors)


class Head(NamedTuple):
    """The record of a kind of head, at the end of its file.

    * ``kind``: the value of ``model.head.kind``; ``prediction``: the class of its predictions.
    * ``network``: called with the features' width, ``model.head.channels`` and the side of the search grid, it gives
      the head for features ``[B, width, grid, grid]``. The head has the number of its ``candidates``; the ``extras`` of
      its predictions are empty.
    * ``objective_config``: the class of the section ``objective``; ``objective`` is built from it.
    """

    kind: str
    prediction: type
    network: abc.Callable[[int, int, int], nn.Module]
    objective_config: type[Section]
    objective: abc.Callable[[Any], Objective]
