"""GRM's token division: what a block predicts of each search token, and how the prediction becomes a decision."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from lib.config.schema import Section

TargetKind = Literal["allmax", "allavg", "roimax", "roiavg"]
Softmax = Literal["exact", "published"]


class DivisionConfig(Section):
    """Relation modelling between template and search tokens (GRM paper, Sec. 3.3).

    * ``relation``: ``adaptive`` predicts each search token's kind; ``one_stream`` makes all of them meet the template;
      ``two_stream`` keeps all of them apart. The first block is joint in every variant, as in the published network.
    * ``target``: the template's summary the predictor sees: maximum or mean over all template tokens, or over the
      tokens multiplied by the mask of the target's box.
    * ``hidden``: width of the predictor's first layer; the second has half of it.
    * ``threshold``: at test time a token stays apart iff its probability of staying apart is at least this; 0 takes
      the likelier kind. ``ratio``: instead, exactly ``int(ratio * N)`` tokens meet the template, the likeliest ones;
      null turns it off.
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
    def _one_test_rule(self) -> DivisionConfig:
        if self.threshold and self.ratio is not None:
            raise ValueError("threshold and ratio are two rules for the same decision; set threshold: 0 or ratio: null")
        return self


def target_representation(template: Tensor, mask: Tensor, kind: TargetKind) -> Tensor:
    """The template's summary ``[B, C]`` from its tokens ``[B, Nz, C]`` and the mask ``[B, Nz]`` of the target's box.

    ``roi*`` multiply by the mask and then pool over all tokens, as published: a masked token counts as zero in the
    maximum, and the mean divides by Nz.
    """
    if kind.startswith("roi"):
        template = template * mask[:, :, None].to(template.dtype)
    return template.amax(dim=1) if kind.endswith("max") else template.mean(dim=1)


class DivisionPredictor(nn.Sequential):
    """A search token beside the template's summary -> log-probabilities of (S, A). Layers 0, 2, 4 bear the weights."""

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
    """Training's decision, ``[B, Nx]`` of 0 and 1: hard Gumbel-softmax, temperature 1, straight-through gradient."""
    with torch.autocast(log_probs.device.type, enabled=False):
        return F.gumbel_softmax(log_probs.float(), tau=1.0, hard=True)[..., 1]


def choose_interacts(log_probs: Tensor, config: DivisionConfig) -> Tensor:
    """Evaluation's decision by threshold, ratio or the likelier kind, ``[B, Nx]`` of 0 and 1."""
    if config.ratio is not None:
        count = int(config.ratio * log_probs.shape[1])
        chosen = log_probs[..., 1].topk(count, dim=-1).indices
        return torch.zeros_like(log_probs[..., 1]).scatter(1, chosen, 1.0)
    if config.threshold > 0:
        return (log_probs[..., 0].exp() < config.threshold).float()
    return (log_probs[..., 1] > log_probs[..., 0]).float()
