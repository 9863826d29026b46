"""The objective of each kind of head."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from lib.losses.center import CenterObjective
from lib.losses.corner import CornerObjective
from lib.losses.objective import ObjectiveConfig, ObjectiveResult
from lib.losses.points import PointObjective
from lib.models.base import HeadPrediction
from lib.models.heads.config import HeadKind

# Called with a prediction and the true boxes ``[B, 4]``, xywh in fractions of the search crop.
Objective = Callable[[HeadPrediction, Tensor], ObjectiveResult]

OBJECTIVES: dict[HeadKind, Callable[[ObjectiveConfig], Objective]] = {
    "center": CenterObjective,
    "corner": CornerObjective,
    "mlp": PointObjective,
}
