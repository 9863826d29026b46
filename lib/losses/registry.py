"""The objective of each kind of head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Union

from lib.config.schema import Section
from lib.losses.center import CenterObjective, CenterObjectiveConfig
from lib.losses.corner import CornerObjective
from lib.losses.distance import DistanceObjective, DistanceObjectiveConfig
from lib.losses.mlp import MLPObjective, MLPObjectiveConfig
from lib.losses.objective import Objective, ObjectiveConfig
from lib.models.heads.config import HeadKind


class ObjectiveKind(NamedTuple):
    """The objective of one kind of head: the class of its section ``objective``, and the class called with that."""

    config: type[Section]
    build: Callable[[Any], Objective]


OBJECTIVES: dict[HeadKind, ObjectiveKind] = {
    "center": ObjectiveKind(CenterObjectiveConfig, CenterObjective),
    "corner": ObjectiveKind(ObjectiveConfig, CornerObjective),
    "mlp": ObjectiveKind(MLPObjectiveConfig, MLPObjective),
    "distance": ObjectiveKind(DistanceObjectiveConfig, DistanceObjective),
}

# Some section of an objective; the head decides which.
AnyObjectiveConfig = Union[tuple(dict.fromkeys(kind.config for kind in OBJECTIVES.values()))]  # noqa: UP007
