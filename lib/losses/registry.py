"""The objective of each kind of head."""

from collections import abc
from typing import Any, NamedTuple, Union

from lib.config.schema import Section
from lib.losses.center import CenterObjective, CenterObjectiveConfig
from lib.losses.corner import CornerObjective
from lib.losses.distance import DistanceObjective, DistanceObjectiveConfig
from lib.losses.mlp import MLPObjective, MLPObjectiveConfig
from lib.losses.objective import Objective, ObjectiveConfig
from lib.models.heads.config import HeadKind


class ObjectiveKind(NamedTuple):
    """The objective of one kind of head: the class of its section ``objective``, and the class built from it."""

    config: type[Section]
    build: abc.Callable[[Any], Objective]


OBJECTIVES: dict[HeadKind, ObjectiveKind] = {
    "center": ObjectiveKind(CenterObjectiveConfig, CenterObjective),
    "corner": ObjectiveKind(ObjectiveConfig, CornerObjective),
    "mlp": ObjectiveKind(MLPObjectiveConfig, MLPObjective),
    "distance": ObjectiveKind(DistanceObjectiveConfig, DistanceObjective),
}

# The section ``objective``; the head decides which.
AnyObjectiveConfig = Union[tuple(dict.fromkeys(kind.config for kind in OBJECTIVES.values()))]  # noqa: UP007
