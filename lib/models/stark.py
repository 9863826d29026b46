"""StarkSV"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from lib.models.backbones.vit import ViTConfig
from lib.models.base import FamilyConfig, TrackingModel
from lib.models.heads.config import HeadConfig


class StarkSVConfig(FamilyConfig):
    """The network."""

    name: Literal["stark_sv"]
    backbone: ViTConfig = ViTConfig()
    head: HeadConfig = HeadConfig(kind="corner")

    def cell(self) -> tuple[int, str]:
        """See ``FamilyConfig``."""
        return self.backbone.patch, "model.backbone.patch"


class StarkSV(TrackingModel):
    """To be written."""

    family = "stark_sv"

    def __init__(self, config: StarkSVConfig, template_size: int, search_size: int) -> None:
        raise NotImplementedError


def stark_sv_from_released(weights: Mapping[str, Tensor], owned: frozenset[str]) -> dict[str, Tensor]:
    """To be written."""
    raise NotImplementedError
