"""OSTrack (Joint Feature Learning and Relation Modeling for Tracking, ECCV 2022): template and search tokens attend to
each other in every block of one network, which may drop the search tokens that the template attends to least."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator
from torch import Tensor

from lib.models.backbones.eliminating import EliminatingViT
from lib.models.backbones.vit import ViTConfig
from lib.models.base import Family, FamilyConfig, HeadPrediction, TrackingModel
from lib.models.heads.config import HeadConfig, build_head
from lib.models.layers.elimination import EliminationConfig, keep_rate, ranking_weights


class OSTrackConfig(FamilyConfig):
    """The network. Without ``elimination``, or with null, all search tokens go through all blocks."""

    name: Literal["ostrack"]
    backbone: ViTConfig = ViTConfig()
    elimination: EliminationConfig | None = None
    head: HeadConfig = HeadConfig(kind="center")

    @model_validator(mode="after")
    def _blocks_exist(self) -> OSTrackConfig:
        if self.elimination and self.elimination.blocks[-1] >= self.backbone.depth:
            raise ValueError(
                f"elimination.blocks {list(self.elimination.blocks)} goes beyond the last block, "
                f"{self.backbone.depth - 1}; name earlier ones, or raise backbone.depth {self.backbone.depth}"
            )
        return self

    def cell(self) -> tuple[int, str]:
        """See ``FamilyConfig``."""
        return self.backbone.patch, "model.backbone.patch"


class OSTrack(TrackingModel):
    """Template and search tokens in one ViT, then a head on the search tokens.

    The state of a target is its patch tokens ``[B, Nz, C]`` and what each of the template tokens that rank the search
    tokens counts, ``[B, K]`` (``[B, 0]`` in a network that never eliminates). ``extras`` of a prediction are

    * ``removed``: bool ``[B, stages, Nx]``, the search tokens that each eliminating block removed, row-major on the
      search grid; no token is removed twice, so ``any(dim=1)`` is all that is missing at the end. ``stages`` is 0 in a
      network that never eliminates, and nothing is True while the schedule keeps all.
    """

    def __init__(self, config: OSTrackConfig, template_size: int, search_size: int) -> None:
        super().__init__()
        patch = config.backbone.patch
        self.template_grid, self.search_grid = template_size // patch, search_size // patch
        self.elimination = config.elimination
        self.backbone = EliminatingViT(config.backbone, config.elimination, self.template_grid, self.search_grid)
        self.box_head = build_head(config.head, config.backbone.width, self.search_grid)

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
        """See ``TrackingModel``."""
        weights = box.new_zeros(box.shape[0], 0)
        if self.elimination:
            weights = ranking_weights(self.elimination.template, box, self.template_grid)
        return self.backbone.embed_template(template), weights

    def locate(self, state: tuple[Tensor, Tensor], search: Tensor, epoch: int | None = None) -> HeadPrediction:
        """See ``TrackingModel``; ``epoch`` decides the keep rate."""
        rate = keep_rate(self.elimination, epoch) if self.elimination else 1.0
        tokens, removed = self.backbone(*state, search, rate)
        search_tokens = tokens[:, -(self.search_grid**2) :]
        features = search_tokens.transpose(1, 2).unflatten(2, (self.search_grid, self.search_grid))
        return self.box_head(features)._replace(extras={"removed": removed})

    def monitors(self, prediction: HeadPrediction) -> dict[str, Tensor]:
        """``share_kept``: the share of search tokens that reach the head; nothing without elimination."""
        if not self.elimination:
            return {}
        return {"share_kept": 1 - prediction.extras["removed"].any(dim=1).float().mean()}


def ostrack_from_released(weights: Mapping[str, Tensor], owned: frozenset[str]) -> dict[str, Tensor]:
    """OSTrack's released names are ours; its ``cls_token`` and ``pos_embed`` are never used by the network."""
    unused = {"backbone.cls_token", "backbone.pos_embed"}
    return {name: value for name, value in weights.items() if name not in unused}


FAMILY = Family(config=OSTrackConfig, build=OSTrack, from_released=ostrack_from_released)
