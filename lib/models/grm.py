"""GRM (Generalized Relation Modeling for Transformer Tracking, CVPR 2023): one network for template and search tokens,
which decides in each block which search tokens interact with the template."""

from collections.abc import Mapping
from functools import partial
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from timm.layers import trunc_normal_
from torch import Tensor, nn

from lib.config.schema import Section
from lib.geometry.grids import template_mask
from lib.models.backbones.vit import Block, JointViT, ViTConfig
from lib.models.base import Family, FamilyConfig, TokenMap, TrackingModel
from lib.models.heads.registry import HeadConfig, HeadPrediction, build_head
from lib.models.layers.relation import exact_attention, published_attention

TargetKind = Literal["allmax", "allavg", "roimax", "roiavg"]

Softmax = Literal["exact", "published"]


class DivisionConfig(Section):
    """Relation modeling between template and search tokens (GRM paper, Sec. 3.3).

    * ``relation``: ``adaptive`` predicts each search token's kind; ``one_stream`` lets all of them interact with the
      template; ``two_stream`` separates all of them. The first block is joint in every variant, as published.
    * ``target``: the template's summary for the predictor: maximum or mean over all template tokens, or over the tokens
      multiplied by the mask of the target's box.
    * ``hidden``: width of the predictor's first layer; the second has half of it.
    * ``threshold``: at test time a token is separated iff its probability of separation is at least this; 0 takes the
      likelier kind. ``ratio``: instead, the likeliest ``int(ratio * N)`` tokens interact; null turns it off.
    * ``softmax``, ``train_softmax``: the form of masked attention in evaluation and in training, see
      ``lib.models.layers.relation``.
    """

    relation: Literal["adaptive", "one_stream", "two_stream"] = "adaptive"
    target: TargetKind = "allmax"
    hidden: int = Field(default=384, ge=2, multiple_of=2)
    threshold: float = Field(default=0.0, ge=0.0, le=1.0)
    ratio: float | None = Field(default=None, ge=0.0, le=1.0)
    softmax: Softmax = "exact"
    train_softmax: Softmax = "published"

    @model_validator(mode="after")
    def _one_test_rule(self) -> Self:
        if self.threshold and self.ratio is not None:
            raise ValueError("threshold and ratio are two rules for the same decision; set threshold: 0 or ratio: null")
        return self


class GRMConfig(FamilyConfig):
    """The network."""

    name: Literal["grm"]
    backbone: ViTConfig = ViTConfig()
    division: DivisionConfig = DivisionConfig()
    head: HeadConfig = HeadConfig(kind="center")


def target_representation(template: Tensor, mask: Tensor, kind: TargetKind) -> Tensor:
    """The template's summary ``[B, C]`` from its tokens ``[B, Nz, C]`` and the mask ``[B, Nz]`` of the target's box.

    ``roi*`` multiply by the mask and then pool over all tokens, as published: a masked token counts as zero in the
    maximum, and the mean divides by Nz.
    """
    if kind.startswith("roi"):
        template = template * mask[:, :, None].to(template.dtype)
    return template.amax(dim=1) if kind.endswith("max") else template.mean(dim=1)


class DivisionPredictor(nn.Sequential):
    """A search token and the template's summary -> log-probabilities of (S, A). Layers 0, 2 and 4 have weights."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__(
            nn.Linear(2 * width, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden // 2),
            nn.GELU(),
            nn.Linear(hidden // 2, 2),
        )

    def forward(self, search: Tensor, target: Tensor) -> Tensor:
        """``search`` ``[B, Nx, C]``, ``target`` ``[B, C]`` -> float32 ``[B, Nx, 2]``."""
        pair = torch.cat([search, target[:, None].expand(-1, search.shape[1], -1)], dim=-1)
        return F.log_softmax(super().forward(pair).float(), dim=-1)


def draw_interacts(log_probs: Tensor) -> Tensor:
    """The decision in training, ``[B, Nx]`` of 0 and 1: hard Gumbel-softmax, temperature 1, straight-through."""
    with torch.autocast(log_probs.device.type, enabled=False):
        return F.gumbel_softmax(log_probs.float(), tau=1.0, hard=True)[..., 1]


def choose_interacts(log_probs: Tensor, config: DivisionConfig) -> Tensor:
    """The decision in evaluation by threshold, ratio or the likelier kind, ``[B, Nx]`` of 0 and 1."""
    if config.ratio is not None:
        count = int(config.ratio * log_probs.shape[1])
        chosen = log_probs[..., 1].topk(count, dim=-1).indices
        return torch.zeros_like(log_probs[..., 1]).scatter(1, chosen, 1.0)
    if config.threshold > 0:
        return (log_probs[..., 0].exp() < config.threshold).float()
    return (log_probs[..., 1] > log_probs[..., 0]).float()


class DividingBlock(Block):
    """A transformer block that first decides which search tokens interact with the template; block 0 does not."""

    def __init__(self, config: ViTConfig, index: int, division: DivisionConfig) -> None:
        super().__init__(config, index)
        self.division = division
        self.divides = index > 0 and division.relation != "one_stream"
        if index > 0 and division.relation == "adaptive":
            # Part of the attention in the published names.
            self.attn.divide_predict = DivisionPredictor(config.width, division.hidden)

    def forward(self, tokens: Tensor, template_mask: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Tokens ``[B, N, C]`` -> tokens, decisions ``[B, Nx]`` and log-probabilities ``[B, Nx, 2]``."""
        normed = self.norm1(tokens)
        q, k, v = self.attn.split(normed)
        interacts, log_probs = self.divide(normed, template_mask) if self.divides else (None, None)
        if interacts is None:
            attended = F.scaled_dot_product_attention(q, k, v)
        else:
            softmax = self.division.train_softmax if self.training else self.division.softmax
            attend = published_attention if softmax == "published" else exact_attention
            attended = attend(q, k, v, interacts)
        return self.add_mlp(tokens + self.drop_path(self.attn.join(attended))), interacts, log_probs

    def divide(self, normed: Tensor, template_mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """Decisions and log-probabilities of this block; a two-stream network separates all, without probabilities."""
        template, search = normed.split([template_mask.shape[1], normed.shape[1] - template_mask.shape[1]], dim=1)
        if self.division.relation == "two_stream":
            return search.new_zeros(search.shape[:2], dtype=torch.float32), None
        target = target_representation(template, template_mask, self.division.target)
        log_probs = self.attn.divide_predict(search, target)
        return (draw_interacts(log_probs) if self.training else choose_interacts(log_probs, self.division)), log_probs


class DividingViT(JointViT):
    """``JointViT`` with GRM's division."""

    def __init__(self, config: ViTConfig, division: DivisionConfig, template_grid: int, search_grid: int) -> None:
        blocks = [DividingBlock(config, index, division) for index in range(config.depth)]
        super().__init__(config, template_grid, search_grid, blocks)
        for name, parameter in self.named_parameters():
            if ".divide_predict." in name and parameter.ndim > 1:
                trunc_normal_(parameter, std=0.02)  # as published

    def forward(self, template: Tensor, template_mask: Tensor, search: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Template tokens ``[B, Nz, C]``, mask of the target's box ``[B, Nz]`` and search crop ``[B, 3, Hx, Wx]`` ->
        normed tokens ``[B, Nz + Nx, C]``, decisions ``[B, blocks, Nx]`` and log-probabilities ``[B, blocks, Nx, 2]`` of
        the blocks that divide. Without division, or for a two-stream network's probabilities, ``blocks`` is 0."""
        tokens = self.embed(template, search)
        search_tokens = tokens.shape[1] - template.shape[1]
        decisions, log_probs = [], []
        for block in self.blocks:
            tokens, block_decisions, block_log_probs = block(tokens, template_mask)
            decisions += [block_decisions] if block_decisions is not None else []
            log_probs += [block_log_probs] if block_log_probs is not None else []
        empty = partial(tokens.new_zeros, dtype=torch.float32)
        return (
            self.norm(tokens),
            torch.stack(decisions, dim=1) if decisions else empty((tokens.shape[0], 0, search_tokens)),
            torch.stack(log_probs, dim=1) if log_probs else empty((tokens.shape[0], 0, search_tokens, 2)),
        )


class GRM(TrackingModel):
    """Template and search tokens in one ViT, then a head on the search tokens.

    The state of a target is its patch tokens ``[B, Nz, C]`` and the mask of its box ``[B, Nz]``: from the first block
    on the template's features depend on the search region. ``extras`` of a prediction are

    * ``interacts``: float ``[B, blocks, Nx]`` for each block that divides: 1 where a search token interacts with the
      template too (kind A), 0 where it attends only to search tokens (kind S). ``blocks`` is 0 without division.
    * ``division_log_probs``: ``[B, blocks, Nx, 2]`` log-probabilities of (S, A).
    """

    def __init__(self, config: GRMConfig, template_size: int, search_size: int) -> None:
        super().__init__(config, template_size, search_size)
        self.backbone = DividingViT(config.backbone, config.division, self.template_grid, self.search_grid)
        self.box_head = build_head(config.head, self.backbone.width, self.search_grid)

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
        return self.backbone.embed_template(template), template_mask(box, self.template_grid)

    def locate(self, state: tuple[Tensor, Tensor], search: Tensor, epoch: int | None = None) -> HeadPrediction:
        tokens, interacts, log_probs = self.backbone(*state, search)
        prediction = self.run_head(tokens[:, -(self.search_grid**2) :])
        return prediction._replace(extras={"interacts": interacts, "division_log_probs": log_probs})

    def monitors(self, prediction: HeadPrediction) -> dict[str, Tensor]:
        """``share_a`` ``[blocks]``: the share of A tokens in each block that divides."""
        return {"share_a": prediction.extras["interacts"].float().mean(dim=(0, 2))}


def division_map(model: GRM, extras: Mapping[str, Tensor]) -> TokenMap:
    """The tokens of kind A; blocks are counted from 1, and the second is the first that divides."""
    interacts = extras["interacts"]
    blocks = tuple(f"block {number + 2}" for number in range(interacts.shape[1]))
    return TokenMap(interacts > 0.5, blocks, "interact with the template")


FAMILY = Family(
    config=GRMConfig,
    network=GRM,
    released={r"^backbone\.(cls_token|pos_embed)$": None},  # the network uses neither
    optional=(r"backbone\..*\.divide_predict\.",),  # nor, if it is one- or two-stream, the predictors
    # The published optimizer's three groups; the division's predictors lie in the backbone.
    groups={"backbone": r"backbone\.(?!.*\.divide_predict\.)", "division": r"backbone\.", "head": ""},
    fresh=(r"backbone\..*\.divide_predict\.",),
    test_time=("division.threshold", "division.ratio", "division.softmax"),
    token_maps={"division": division_map},
)
