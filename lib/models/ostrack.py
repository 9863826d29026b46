"""OSTrack (Joint Feature Learning and Relation Modeling for Tracking, ECCV 2022): template and search tokens attend to
each other in every block of one network, which can drop the search tokens that the template attends to least.

Most of the search region is recognizable as background in early blocks. An eliminating block ranks the search tokens by
the attention that they get from the template and keeps the first of them (OSTrack paper, Sec. 3.3).
"""

import math
from collections.abc import Mapping
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from lib.config.schema import Section
from lib.geometry.grids import template_mask
from lib.models.attention import attention_rows
from lib.models.backbones.vit import Block, JointViT, ViTConfig
from lib.models.base import Family, FamilyConfig, TokenMap, TrackingModel
from lib.models.heads.registry import HeadConfig, HeadPrediction, build_head

TemplateRange = Literal["all", "center_point", "center_rect", "box"]


class KeepScheduleConfig(Section):
    """Schedule of the keep rate in training. Epochs are counted from 1, as in the published settings.

    All tokens are kept up to and including epoch ``start``; then the rate falls along half a cosine and reaches its
    final value at epoch ``start + length`` (CE_START_EPOCH and CE_WARM_EPOCH of botaoye/OSTrack).
    """

    start: int = Field(default=20, ge=0)
    length: int = Field(default=80, ge=1)


class EliminationConfig(Section):
    """Candidate elimination (OSTrack paper, Sec. 3.3).

    * ``blocks``: numbers of the eliminating blocks, from 0.
    * ``keep``: share of its search tokens that each of them keeps.
    * ``template``: the template tokens whose attention ranks the search tokens: "all"; "center_point", the cell in the
      middle (of an even grid, the upper left one of the middle four); "center_rect", all of the middle four (of an odd
      grid, the one cell); "box", the cells that the target's box touches.
    * ``schedule``: the keep rate while training.
    """

    blocks: tuple[int, ...] = Field(default=(3, 6, 9), min_length=1)
    keep: float = Field(default=0.7, gt=0, le=1)
    template: TemplateRange = "center_point"
    schedule: KeepScheduleConfig = KeepScheduleConfig()

    @field_validator("blocks")
    @classmethod
    def _ascending(cls, blocks: tuple[int, ...]) -> tuple[int, ...]:
        if blocks[0] < 0 or list(blocks) != sorted(set(blocks)):
            raise ValueError(f"blocks {list(blocks)} should be ascending numbers of blocks, from 0, each once")
        return blocks


class OSTrackConfig(FamilyConfig):
    """The network. Without ``elimination``, or with null, all search tokens go through all blocks."""

    name: Literal["ostrack"]
    backbone: ViTConfig = ViTConfig()
    elimination: EliminationConfig | None = None
    head: HeadConfig = HeadConfig(kind="center")

    @model_validator(mode="after")
    def _blocks_exist(self) -> Self:
        if self.elimination and self.elimination.blocks[-1] >= self.backbone.depth:
            raise ValueError(
                f"elimination.blocks {list(self.elimination.blocks)} goes beyond the last block, "
                f"{self.backbone.depth - 1}; name earlier ones, or raise backbone.depth {self.backbone.depth}"
            )
        return self

    def misfits(self, template_size: int, search_size: int, compiled: bool) -> list[str]:
        if not compiled or self.elimination is None or self.elimination.keep == 1:
            return []
        return [
            "train.compile: model.elimination.schedule changes the number of tokens from epoch to epoch; set "
            "model.elimination=null, or train.compile=false"
        ]


def keep_rate(config: EliminationConfig, epoch: int | None) -> float:
    """The share of search tokens that each eliminating block keeps in ``epoch``, from 0; None is the trained network.
    Source: adjust_keep_rate in lib/utils/ce_utils.py of botaoye/OSTrack, whose epochs begin with 1."""
    if epoch is None:
        return config.keep
    progress = (epoch + 1 - config.schedule.start) / config.schedule.length
    if progress <= 0:
        return 1.0
    return config.keep + (1 - config.keep) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


def ranking_rows(kind: TemplateRange, grid: int) -> Tensor:
    """Numbers ``[K]`` of the ranking template tokens on a grid of that side."""
    cells = torch.arange(grid**2).unflatten(0, (grid, grid))
    first, end = (grid - 1) // 2, grid // 2 + 1
    if kind == "center_point":
        return cells[first : first + 1, first : first + 1].flatten()
    return cells[first:end, first:end].flatten() if kind == "center_rect" else cells.flatten()


def ranking_weights(kind: TemplateRange, boxes_xywh: Tensor, grid: int) -> Tensor:
    """Weights ``[B, K]`` of the ranking tokens, with sums of 1; tokens off the target weigh 0 for "box".

    ``boxes_xywh`` ``[B, 4]`` is the target in fractions of the template crop.
    """
    if kind == "box":
        covered = template_mask(boxes_xywh, grid).float()
        return covered / covered.sum(dim=1, keepdim=True).clamp(min=1)
    count = len(ranking_rows(kind, grid))
    return boxes_xywh.new_full((boxes_xywh.shape[0], count), 1 / count, dtype=torch.float32)


def eliminate(tokens: Tensor, cells: Tensor, ranks: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The template tokens and the ``count`` search tokens of highest rank, in the order of their ranks.

    ``tokens`` ``[B, Nz + n, C]``; ``cells`` ``[B, n]``, the cell of the search grid of each search token; ``ranks``
    ``[B, n]``. Returns tokens ``[B, Nz + count, C]`` and their cells ``[B, count]``.
    """
    template, search = tokens.split([tokens.shape[1] - cells.shape[1], cells.shape[1]], dim=1)
    kept = order_of(ranks).topk(count, dim=1, largest=False).indices
    search = search.gather(1, kept[:, :, None].expand(-1, -1, search.shape[2]))
    return torch.cat([template, search], dim=1), cells.gather(1, kept)


def order_of(ranks: Tensor) -> Tensor:
    """The position of each rank in descending order, from 0: ``[B, n]`` -> int64 ``[B, n]``. Equal ranks (in an
    untrained network, of flat padding) keep their order.

    A stable sort by comparisons: equal ranks have the same order on every device and in every exported form. ONNX and
    OpenVINO have no stable sort, and torch's ``topk`` takes any of equal values.
    """
    mine, others = ranks[:, :, None], ranks[:, None, :]
    earlier = torch.ones(ranks.shape[1], ranks.shape[1], dtype=torch.bool, device=ranks.device).tril(-1)
    return ((others > mine) | ((others == mine) & earlier)).sum(dim=2)


def restore(search: Tensor, cells: Tensor, count: int) -> Tensor:
    """Search tokens ``[B, n, C]`` at their ``cells`` ``[B, n]`` among ``count``, row-major; zeros elsewhere."""
    empty = search.new_zeros(search.shape[0], count, search.shape[2])
    return empty.scatter(1, cells[:, :, None].expand(-1, -1, search.shape[2]), search)


def present(cells: Tensor, count: int) -> Tensor:
    """Which of ``count`` cells are among ``cells`` ``[B, n]``: bool ``[B, count]``."""
    return torch.zeros(cells.shape[0], count, dtype=torch.bool, device=cells.device).scatter(1, cells, True)


class EliminatingBlock(Block):
    """A transformer block that drops search tokens between its attention and its MLP."""

    def forward(
        self, tokens: Tensor, cells: Tensor, rows: Tensor, weights: Tensor, rate: float
    ) -> tuple[Tensor, Tensor]:
        """Tokens ``[B, Nz + n, C]``, the search tokens' cells ``[B, n]`` and the keep rate -> the tokens and cells that
        are kept. ``rows`` ``[K]`` and ``weights`` ``[B, K]`` select the ranking template tokens: no other row of the
        attention matrix is computed."""
        q, k, v = self.attn.split(self.norm1(tokens))
        tokens = tokens + self.drop_path(self.attn.join(F.scaled_dot_product_attention(q, k, v)))
        search_tokens = cells.shape[1]
        count = math.ceil(rate * search_tokens)
        if count < search_tokens:
            ranks = attention_rows(q[:, :, rows], k, weights, search_tokens)
            tokens, cells = eliminate(tokens, cells, ranks, count)
        return self.add_mlp(tokens), cells


class EliminatingViT(JointViT):
    """``JointViT`` with plain attention, and candidate elimination where the configuration has it."""

    def __init__(
        self, config: ViTConfig, elimination: EliminationConfig | None, template_grid: int, search_grid: int
    ) -> None:
        eliminating = elimination.blocks if elimination else ()
        kinds = [EliminatingBlock if index in eliminating else Block for index in range(config.depth)]
        super().__init__(config, template_grid, search_grid, [kind(config, index) for index, kind in enumerate(kinds)])
        if elimination:
            self.register_buffer("rows", ranking_rows(elimination.template, template_grid), persistent=False)

    def forward(self, template: Tensor, weights: Tensor, search: Tensor, rate: float) -> tuple[Tensor, Tensor]:
        """Template tokens ``[B, Nz, C]``, weights of the ranking ones ``[B, K]`` (not read without elimination), search
        crop ``[B, 3, Hx, Wx]`` and the keep rate -> normed tokens ``[B, Nz + Nx, C]``, zeros where removed, and the
        search tokens that each eliminating block removed, bool ``[B, stages, Nx]``."""
        tokens = self.embed(template, search)
        template_tokens = template.shape[1]
        search_tokens = tokens.shape[1] - template_tokens
        cells = torch.arange(search_tokens, device=tokens.device).expand(tokens.shape[0], -1)
        removed = []
        for block in self.blocks:
            if isinstance(block, EliminatingBlock):
                before = cells
                tokens, cells = block(tokens, before, self.rows, weights, rate)
                removed.append(present(before, search_tokens) & ~present(cells, search_tokens))
            else:
                tokens = block(tokens)
        tokens = self.norm(tokens)
        if cells.shape[1] < search_tokens:
            left = restore(tokens[:, template_tokens:], cells, search_tokens)
            tokens = torch.cat([tokens[:, :template_tokens], left], dim=1)
        empty = cells.new_zeros((tokens.shape[0], 0, search_tokens), dtype=torch.bool)
        return tokens, torch.stack(removed, dim=1) if removed else empty


class OSTrack(TrackingModel):
    """Template and search tokens in one ViT, then a head on the search tokens.

    The state of a target is its patch tokens ``[B, Nz, C]`` and the weights of the ranking ones, ``[B, K]`` (``[B, 0]``
    without elimination). ``extras`` of a prediction are

    * ``removed``: bool ``[B, stages, Nx]``, the search tokens that each eliminating block removed, row-major on the
      search grid. No token is removed twice. ``stages`` is 0 without elimination.
    """

    def __init__(self, config: OSTrackConfig, template_size: int, search_size: int) -> None:
        super().__init__(config, template_size, search_size)
        self.elimination = config.elimination
        self.backbone = EliminatingViT(config.backbone, config.elimination, self.template_grid, self.search_grid)
        self.box_head = build_head(config.head, self.backbone.width, self.search_grid)

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor, Tensor]:
        weights = box.new_zeros(box.shape[0], 0)
        if self.elimination:
            weights = ranking_weights(self.elimination.template, box, self.template_grid)
        return self.backbone.embed_template(template), weights

    def locate(self, state: tuple[Tensor, Tensor], search: Tensor, epoch: int | None = None) -> HeadPrediction:
        rate = keep_rate(self.elimination, epoch) if self.elimination else 1.0
        tokens, removed = self.backbone(*state, search, rate)
        prediction = self.run_head(tokens[:, -(self.search_grid**2) :])
        return prediction._replace(extras={"removed": removed})

    def monitors(self, prediction: HeadPrediction) -> dict[str, Tensor]:
        """``share_kept``: the share of search tokens that reach the head; nothing without elimination."""
        if not self.elimination:
            return {}
        return {"share_kept": 1 - prediction.extras["removed"].any(dim=1).float().mean()}


def elimination_map(model: OSTrack, extras: Mapping[str, Tensor]) -> TokenMap:
    """The tokens left after each eliminating block; blocks are counted from 1."""
    blocks = model.elimination.blocks if model.elimination else ()
    left = extras["removed"].cumsum(dim=1) == 0
    return TokenMap(left, tuple(f"block {index + 1}" for index in blocks), "go on")


FAMILY = Family(
    config=OSTrackConfig,
    network=OSTrack,
    released={r"^backbone\.(cls_token|pos_embed)$": None},  # the network uses neither
    token_maps={"elimination": elimination_map},
)
