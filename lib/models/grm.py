"""GRM (Generalized Relation Modeling for Transformer Tracking, CVPR 2023): one network for template and search that
decides, token by token and block by block, which search tokens meet the template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from lib.geometry.grids import template_mask
from lib.models.backbones.dividing import DividingViT
from lib.models.backbones.vit import ViTConfig
from lib.models.base import Family, FamilyConfig, HeadPrediction, TrackingModel
from lib.models.heads.config import HeadConfig, build_head
from lib.models.layers.division import DivisionConfig


class GRMConfig(FamilyConfig):
    """The network."""

    name: Literal["grm"]
    backbone: ViTConfig = ViTConfig()
    division: DivisionConfig = DivisionConfig()
    head: HeadConfig = HeadConfig(kind="center")

    def cell(self) -> tuple[int, str]:
        """See ``FamilyConfig``."""
        return self.backbone.patch, "model.backbone.patch"


class GRM(TrackingModel):
    """Template and search tokens in one ViT, then a head on the search tokens.

    The state of a target is its patch tokens ``[B, Nz, C]`` and the mask of its box ``[B, Nz]``: from the first block
    on the template's features depend on the search region, so nothing more can be kept. ``extras`` of a prediction are

    * ``interacts``: float ``[B, blocks, Nx]``, 1 where a search token meets the template too (kind A), 0 where it stays
      among search tokens (kind S), for each block that divides; ``[B, 0, Nx]`` in a model that never divides.
    * ``division_log_probs``: ``[B, blocks, Nx, 2]`` log-probabilities of (S, A).
    """

    def __init__(self, config: GRMConfig, template_size: int, search_size: int) -> None:
        super().__init__()
        patch = config.backbone.patch
        self.template_grid, self.search_grid = template_size // patch, search_size // patch
        self.backbone = DividingViT(config.backbone, config.division, self.template_grid, self.search_grid)
        self.box_head = build_head(config.head, config.backbone.width, self.search_grid)

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
        """See ``TrackingModel``."""
        return self.backbone.embed_template(template), template_mask(box, self.template_grid)

    def locate(self, state: tuple[Tensor, Tensor], search: Tensor, epoch: int | None = None) -> HeadPrediction:
        """See ``TrackingModel``."""
        tokens, interacts, log_probs = self.backbone(*state, search)
        search_tokens = tokens[:, -(self.search_grid**2) :]
        features = search_tokens.transpose(1, 2).unflatten(2, (self.search_grid, self.search_grid))
        return self.box_head(features)._replace(extras={"interacts": interacts, "division_log_probs": log_probs})

    def monitors(self, prediction: HeadPrediction) -> dict[str, Tensor]:
        """``share_a`` ``[blocks]``: the share of A tokens in each block that divides."""
        return {"share_a": prediction.extras["interacts"].float().mean(dim=(0, 2))}


def grm_from_released(weights: Mapping[str, Tensor], owned: frozenset[str]) -> dict[str, Tensor]:
    """GRM's released names are ours; its ``cls_token`` and ``pos_embed`` are never used by the network, and a one- or
    two-stream network, which owns no ``divide_predict``, has no use for the predictors."""
    divides = any(".divide_predict." in name for name in owned)
    unused = {"backbone.cls_token", "backbone.pos_embed"}
    return {
        name: value
        for name, value in weights.items()
        if name not in unused and (divides or ".divide_predict." not in name)
    }


FAMILY = Family(
    config=GRMConfig,
    build=GRM,
    from_released=grm_from_released,
    # The published optimizer's three groups; the division's predictors lie in the backbone.
    groups={"backbone": r"backbone\.(?!.*\.divide_predict\.)", "division": r"backbone\.", "head": ""},
    fresh=(r"backbone\..*\.divide_predict\.",),
    test_time=("division.threshold", "division.ratio", "division.softmax"),
)
