"""STARK-SV, the baseline of SimTrack's paper: STARK-S (ICCV 2021) with a vision transformer for its ResNet. Template
and search region pass the backbone each by itself and meet in an encoder, from which one query picks the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from lib.models.backbones.siamese import SiameseViT, SiameseViTConfig
from lib.models.base import Family, FamilyConfig, HeadPrediction, TrackingModel
from lib.models.clip_names import clip_as_timm
from lib.models.heads.config import HeadConfig, build_head
from lib.models.layers.encoder_decoder import EncoderDecoder, TransformerConfig
from lib.models.layers.positions import full_grid, sine_positions

_PUBLISHED_BACKBONE = "backbone.visual."


class StarkSVConfig(FamilyConfig):
    """The network."""

    name: Literal["stark_sv"]
    backbone: SiameseViTConfig = SiameseViTConfig()
    transformer: TransformerConfig = TransformerConfig()
    head: HeadConfig = HeadConfig(kind="corner")

    def cell(self) -> tuple[int, str]:
        """See ``FamilyConfig``."""
        return self.backbone.patch, "model.backbone.patch"


class StarkSV(TrackingModel):
    """A Siamese ViT, a transformer with one query on the tokens of both images, and a head on the search region's.

    The state of a target is one tensor, its projected tokens ``[B, Nz, C]``. ``extras`` of a prediction hold
    ``attention`` ``[B, F, F]``: the dot product of the decoded query with each search token, without a softmax.

    Parts of the public network never learn and are kept as it has them: the softmax over the one query is 1, so that
    no gradient reaches how it attends to itself (``transformer.decoder.layers.*.self_attn.in_proj_*``, rows of queries
    and keys); and in the first decoder layer the values it takes are zero, so that their weights get none either.
    """

    def __init__(self, config: StarkSVConfig, template_size: int, search_size: int) -> None:
        super().__init__()
        patch, width = config.backbone.patch, config.transformer.width
        self.template_grid, self.search_grid = template_size // patch, search_size // patch
        self.backbone = SiameseViT(config.backbone)
        self.bottleneck = nn.Conv2d(config.backbone.width, width, 1)
        self.transformer = EncoderDecoder(config.transformer)
        self.query_embed = nn.Embedding(1, width)
        self.box_head = build_head(config.head, width, self.search_grid)
        device = self.bottleneck.weight.device
        positions = [full_grid(side, width, device) for side in (self.template_grid, self.search_grid)]
        self.register_buffer("positions", torch.cat(positions, dim=1), persistent=False)

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor]:
        """See ``TrackingModel``; the box is of no use to this family."""
        return (self.project(self.backbone(template)),)

    def locate(self, state: tuple[Tensor], search: Tensor, epoch: int | None = None) -> HeadPrediction:
        """See ``TrackingModel``."""
        return self.predict(*self.fuse(*state, self.project(self.backbone(search))))

    def project(self, tokens: Tensor) -> Tensor:
        """Backbone tokens ``[B, N, width]`` through the 1x1 convolution: ``[B, N, C]``, not in bfloat16 under autocast
        either, since the transformer adds to them layer after layer."""
        projected = self.bottleneck(tokens.transpose(1, 2)[..., None]).squeeze(-1).transpose(1, 2)
        return projected.to(self.query_embed.weight.dtype)

    def fuse(
        self, template: Tensor, search: Tensor, padding: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Projected tokens ``[B, Nz, C]`` and ``[B, Nx, C]`` -> the memory ``[B, Nz + Nx, C]`` and the decoded query
        ``[B, 1, C]``.

        ``padding``: bool ``[B, F, F]`` of the template's grid and of the search region's, True for cells outside the
        picture, as STARK marks them; they are then neither attended to nor counted in the positions. Some cell must be
        inside. Trackers and training here do not mark them.
        """
        tokens = torch.cat([template, search], dim=1)
        positions, outside = self.positions, None
        if padding is not None:
            positions = torch.cat([sine_positions(mask, tokens.shape[-1]) for mask in padding], dim=1)
            outside = torch.cat([mask.flatten(1) for mask in padding], dim=1)
        return self.transformer(tokens, positions, self.query_embed.weight, outside)

    def predict(self, memory: Tensor, query: Tensor) -> HeadPrediction:
        """The head on the search region's part of ``memory``, each token multiplied by its dot product with the query.

        Source: lib/models/stark/stark_s.py of STARK, ``forward_box_head``.
        """
        side = self.search_grid
        found = memory[:, -(side**2) :]
        attention = (found * query).sum(dim=-1)
        features = (found * attention[..., None]).transpose(1, 2).unflatten(2, (side, side))
        return self.box_head(features)._replace(extras={"attention": attention.unflatten(1, (side, side))})


def stark_sv_from_released(weights: Mapping[str, Tensor], owned: frozenset[str]) -> dict[str, Tensor]:
    """No STARK-SV was released. Of neck and head the names of the public STARK-S are ours; a backbone under the names
    of SimTrack's public code, ``backbone.visual.`` and CLIP's, gets timm's."""
    visual = {
        name.removeprefix(_PUBLISHED_BACKBONE): value
        for name, value in weights.items()
        if name.startswith(_PUBLISHED_BACKBONE)
    }
    others = {name: value for name, value in weights.items() if not name.startswith(_PUBLISHED_BACKBONE)}
    return {**{f"backbone.{name}": value for name, value in clip_as_timm(visual).items()}, **others}


FAMILY = Family(config=StarkSVConfig, build=StarkSV, from_released=stark_sv_from_released)
