"""SimTrack"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from lib.models.backbones.vit import ViTConfig
from lib.models.base import FamilyConfig, TrackingModel
from lib.models.heads.config import HeadConfig


class SimTrackConfig(FamilyConfig):
    """The network."""

    name: Literal["simtrack"]
    backbone: ViTConfig = ViTConfig()
    head: HeadConfig = HeadConfig(kind="corner")

    def cell(self) -> tuple[int, str]:
        """See ``FamilyConfig``."""
        return self.backbone.patch, "model.backbone.patch"


class SimTrack(TrackingModel):
    """To be written."""

    family = "simtrack"

    def __init__(self, config: SimTrackConfig, template_size: int, search_size: int) -> None:
        raise NotImplementedError


def simtrack_from_released(weights: Mapping[str, Tensor], owned: frozenset[str]) -> dict[str, Tensor]:
    """To be written."""
    raise NotImplementedError
