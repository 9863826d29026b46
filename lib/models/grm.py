"""GRM (Generalized Relation Modeling for Transformer Tracking, CVPR 2023): one network for template and search that
decides, token by token and block by block, which search tokens meet the template."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from lib.config.schema import Section
from lib.geometry.grids import template_mask
from lib.models.backbones.vit import DividingViT, ViTConfig
from lib.models.base import CenterPrediction, TrackingModel
from lib.models.heads.center import CenterHead, CenterHeadConfig, decode_boxes
from lib.models.layers.division import DivisionConfig


class GRMConfig(Section):
    """The network. ``pretrained`` names a file of initial weights in the pretrained_models folder, or is ``none``."""

    name: Literal["grm"]
    pretrained: str
    backbone: ViTConfig = ViTConfig()
    division: DivisionConfig = DivisionConfig()
    head: CenterHeadConfig = CenterHeadConfig()


class GRM(TrackingModel):
    """Template and search tokens in one ViT, then a centre head on the search tokens.

    The state of a target is its patch tokens ``[B, Nz, C]`` and the mask of its box ``[B, Nz]``: from the first block
    on the template's features depend on the search region, so nothing more can be kept.
    """

    family = "grm"

    def __init__(self, config: GRMConfig, template_size: int, search_size: int) -> None:
        super().__init__()
        patch = config.backbone.patch
        self.template_grid, self.search_grid = template_size // patch, search_size // patch
        self.backbone = DividingViT(config.backbone, config.division, self.template_grid, self.search_grid)
        self.box_head = CenterHead(config.backbone.width, config.head)

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
        """See ``TrackingModel``."""
        return self.backbone.embed_template(template), template_mask(box, self.template_grid)

    def locate(self, state: tuple[Tensor, Tensor], search: Tensor) -> CenterPrediction:
        """See ``TrackingModel``; one box and score for every cell of the search grid, row-major."""
        tokens, interacts, log_probs = self.backbone(*state, search)
        search_tokens = tokens[:, -(self.search_grid**2) :]
        features = search_tokens.transpose(1, 2).unflatten(2, (self.search_grid, self.search_grid))
        maps = self.box_head(features)
        return CenterPrediction(
            boxes=decode_boxes(maps),
            scores=maps.score.flatten(1),
            score_map=maps.score,
            size_map=maps.size,
            offset_map=maps.offset,
            interacts=interacts,
            division_log_probs=log_probs,
        )

    def parameter_groups(self) -> dict[str, list[str]]:
        """``backbone``, ``division`` (the predictors in it) and ``head``: the published optimiser's three groups."""
        groups: dict[str, list[str]] = {"backbone": [], "division": [], "head": []}
        for name, _ in self.named_parameters():
            inside = "division" if ".divide_predict." in name else "backbone"
            groups[inside if name.startswith("backbone.") else "head"].append(name)
        return groups
