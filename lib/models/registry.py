"""The families of networks, by the name that ``model.name`` gives."""

from __future__ import annotations

from collections.abc import Callable

from lib.models.base import TrackingModel
from lib.models.grm import GRM, GRMConfig

# A union of the families' configurations; a further family is a line in both.
ModelConfig = GRMConfig

MODELS: dict[str, Callable[[ModelConfig, int, int], TrackingModel]] = {"grm": GRM}
