"""TransT"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from lib.models.backbones.vit import ViTConfig
from lib.models.base import FamilyConfig, TrackingModel
from lib.models.heads.config import HeadConfig


class TransTConfig(FamilyConfig):
    """The network."""

    name: Literal["transt"]
    backbone: ViTConfig = ViTConfig()
    head: HeadConfig = HeadConfig(kind="mlp")

    def cell(self) -> tuple[int, str]:
        """See ``FamilyConfig``."""
        return self.backbone.patch, "model.backbone.patch"


class TransT(TrackingModel):
    """To be written."""

    family = "transt"

    def __init__(self, config: TransTConfig, template_size: int, search_size: int) -> None:
        raise NotImplementedError


def transt_from_released(weights: Mapping[str, Tensor], owned: frozenset[str]) -> dict[str, Tensor]:
    """To be written."""
    raise NotImplementedError
