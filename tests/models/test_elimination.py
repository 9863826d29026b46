"""Candidate elimination: the schedule, who ranks, and the ranking and the removal computed in two ways."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lib.geometry.grids import template_mask
from lib.models.attention import attention_rows
from lib.models.backbones.vit import ViTConfig
from lib.models.ostrack import (
    EliminatingBlock,
    EliminatingViT,
    EliminationConfig,
    KeepScheduleConfig,
    eliminate,
    keep_rate,
    order_of,
    present,
    ranking_rows,
    ranking_weights,
    restore,
)

RANGES = ["all", "center_point", "center_rect", "box"]
BOXES = torch.tensor([[0.25, 0.3, 0.5, 0.4], [0.4, 0.2, 0.1, 0.6]])
TINY = ViTConfig(width=32, depth=4, heads=2, patch=8, drop_path=0.0)


# The schedule


def test_the_keep_rate_stays_at_one_then_falls_and_stays():
    config = EliminationConfig(keep=0.7, schedule=KeepScheduleConfig(start=20, length=80))
    by_number = {number: keep_rate(config, number - 1) for number in range(1, 301)}
    assert {by_number[number] for number in range(1, 21)} == {1.0}
    assert by_number[60] == pytest.approx((1 + 0.7) / 2)
    assert by_number[40] == pytest.approx(0.7 + 0.3 * (1 + 0.5**0.5) / 2)  # an eighth of the cosine's turn
    falling = [by_number[number] for number in range(20, 101)]
    assert all(later < earlier for earlier, later in zip(falling, falling[1:], strict=False))
    assert {by_number[number] for number in range(100, 301)} == {0.7} == {keep_rate(config, None)}


def test_a_schedule_may_begin_with_the_first_epoch():
    config = EliminationConfig(keep=0.5, schedule=KeepScheduleConfig(start=0, length=1))
    assert [keep_rate(config, epoch) for epoch in (0, 1, None)] == [0.5] * 3


@pytest.mark.parametrize("blocks", [[3, 3], [6, 3], [-1, 2]])
def test_blocks_ascend(blocks):
    with pytest.raises(ValueError, match="ascending"):
        EliminationConfig(blocks=tuple(blocks))


# Who ranks


@pytest.mark.parametrize(("kind", "grid", "rows", "columns"), [
    # The cells of the published code for its four grids, and the smallest.
    ("center_point", 7, [3], [3]),
    ("center_point", 8, [3], [3]),
    ("center_point", 12, [5], [5]),
    ("center_point", 14, [6], [6]),
    ("center_point", 1, [0], [0]),
    ("center_rect", 7, [3], [3]),
    ("center_rect", 8, [3, 4], [3, 4]),
    ("center_rect", 12, [5, 6], [5, 6]),
    ("all", 3, [0, 1, 2], [0, 1, 2]),
    ("box", 3, [0, 1, 2], [0, 1, 2]),
])  # fmt: skip
def test_ranking_rows(kind, grid, rows, columns):
    assert ranking_rows(kind, grid).tolist() == [row * grid + column for row in rows for column in columns]


@pytest.mark.parametrize("kind", RANGES)
def test_weights_are_shares_one_for_each_row(kind):
    weights = ranking_weights(kind, BOXES, 6)
    assert weights.shape == (2, len(ranking_rows(kind, 6)))
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2))
    covered = template_mask(BOXES, 6)
    for sample in range(2):
        if kind == "box":
            assert torch.equal(weights[sample] > 0, covered[sample])
        assert len(set(weights[sample][weights[sample] > 0].tolist())) == 1


# Ranking


def published_ranks(q: torch.Tensor, k: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The whole attention matrix; of each sample the rows that ``mask`` ``[B, Nz]`` has, meaned over them and heads."""
    attention = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1)
    template = mask.shape[1]
    return torch.stack([attention[b, :, :template][:, mask[b], template:].mean(dim=(0, 1)) for b in range(len(mask))])


def center_mask(kind: str, grid: int) -> torch.Tensor:
    mask = torch.zeros(2, grid * grid, dtype=torch.bool)
    mask[:, ranking_rows(kind, grid)] = True
    return mask


@pytest.mark.parametrize("kind", RANGES)
def test_the_rows_alone_rank_as_the_whole_attention_matrix_does(kind):
    grid, search = 4, 30
    q, k = (torch.randn(2, 3, grid**2 + search, 8) for _ in range(2))
    mask = template_mask(BOXES, grid) if kind == "box" else center_mask(kind, grid)
    ranked = q[:, :, ranking_rows(kind, grid)], k, ranking_weights(kind, BOXES, grid), search
    ranks = attention_rows(*ranked)
    torch.testing.assert_close(ranks, published_ranks(q, k, mask))
    with torch.autocast("cpu", torch.bfloat16):
        same = attention_rows(*ranked)
    assert torch.equal(ranks, same)


class SoftmaxShapes(TorchDispatchMode):
    """The shapes of all softmaxes that are computed as such; fused attention has none."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if "softmax" in str(function):
            self.shapes.append(tuple(result.shape))
        return result


@pytest.mark.parametrize(("kind", "rows"), [("center_point", 1), ("center_rect", 4), ("all", 16), ("box", 16)])
def test_no_more_than_the_rows_that_rank_are_computed(kind, rows):
    backbone = EliminatingViT(TINY, EliminationConfig(blocks=(1,), template=kind), 4, 8).eval()
    template, search = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 64, 64)
    with SoftmaxShapes() as seen, torch.inference_mode():
        backbone(backbone.embed_template(template), ranking_weights(kind, BOXES, 4), search, 0.7)
    assert seen.shapes == [(2, 2, rows, 16 + 64)]


# Removal


def test_the_order_is_that_of_a_stable_sort():
    ranks = torch.randint(0, 6, (4, 30)).float() / 8  # many are equal
    expected = ranks.argsort(dim=1, descending=True, stable=True)
    assert torch.equal(order_of(ranks).argsort(dim=1), expected)


def test_the_best_go_on_in_the_order_of_their_ranks_and_return_to_their_places():
    tokens, ranks = torch.randn(2, 3 + 5, 4), torch.tensor([[0.1, 0.5, 0.3, 0.2, 0.4], [0.5, 0.1, 0.1, 0.1, 0.1]])
    places = torch.tensor([[9, 0, 4, 2, 7], [0, 1, 2, 3, 4]])
    left, kept = eliminate(tokens, places, ranks, 3)
    assert kept.tolist() == [[0, 7, 4], [0, 1, 2]]  # equal ranks: the first ones
    assert torch.equal(left[:, :3], tokens[:, :3])
    assert torch.equal(left[0, 3:], tokens[0, [4, 7, 5]])
    back = restore(left[:, 3:], kept, 10)
    assert torch.equal(back[0, [0, 7, 4]], tokens[0, [4, 7, 5]])
    assert torch.equal(back.any(dim=2), present(kept, 10))
    assert present(kept, 10).sum(dim=1).tolist() == [3, 3]


def in_place(
    backbone: EliminatingViT, template: torch.Tensor, mask: torch.Tensor, search: torch.Tensor, rate: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same network with every token left where it is: who is out is only masked, in whole attention matrices."""
    tokens, count = backbone.embed(template, search), template.shape[1]
    alive = torch.ones(tokens.shape[:2], dtype=torch.bool)
    stages = []
    for block in backbone.blocks:
        q, k, v = block.attn.split(block.norm1(tokens))
        logits = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).masked_fill(~alive[:, None, None], -torch.inf)
        tokens = tokens + block.attn.join(logits.softmax(dim=-1) @ v)
        if isinstance(block, EliminatingBlock):
            attention = logits.softmax(dim=-1).mean(dim=1)
            out = torch.zeros_like(alive)
            for b in range(len(tokens)):
                ranks = attention[b, :count][mask[b], count:].mean(dim=0).masked_fill(~alive[b, count:], torch.inf)
                total = int(alive[b, count:].sum())
                out[b, count + ranks.argsort()[: total - -int(-rate * total // 1)]] = True
            alive &= ~out
            stages.append(out[:, count:])
        tokens = block.add_mlp(tokens)
    return backbone.norm(tokens) * alive[:, :, None], torch.stack(stages, dim=1)


@pytest.mark.parametrize("kind", RANGES)
@pytest.mark.parametrize("rate", [0.7, 0.31])
@torch.inference_mode()
def test_going_on_with_fewer_tokens_is_masking_the_others(kind, rate):
    torch.manual_seed(0)
    backbone = EliminatingViT(TINY, EliminationConfig(blocks=(0, 2, 3), template=kind), 4, 8).eval()
    template, search = backbone.embed_template(torch.randn(2, 3, 32, 32)), torch.randn(2, 3, 64, 64)
    mask = template_mask(BOXES, 4) if kind == "box" else center_mask(kind, 4)
    tokens, removed = backbone(template, ranking_weights(kind, BOXES, 4), search, rate)
    expected_tokens, expected_removed = in_place(backbone, template, mask, search, rate)
    assert torch.equal(removed, expected_removed)
    torch.testing.assert_close(tokens, expected_tokens, atol=1e-5, rtol=1e-5)
    assert removed.sum(dim=1).max() == 1  # no token twice
    assert torch.equal(tokens[:, 16:].any(dim=2), ~removed.any(dim=1))


def test_ranks_carry_no_gradient():
    q, k = (torch.randn(1, 2, 10, 4, requires_grad=True) for _ in range(2))
    assert not attention_rows(q[:, :, :1], k, torch.ones(1, 1), 6).requires_grad


@torch.inference_mode()
def test_without_elimination_it_is_the_joint_network_that_the_configuration_builds():
    torch.manual_seed(0)
    plain = TINY.build(4 * TINY.patch, 8 * TINY.patch).eval()
    backbone = EliminatingViT(TINY, None, 4, 8).eval()
    backbone.load_state_dict(plain.state_dict())
    template, search = (torch.randn(2, 3, cells * TINY.patch, cells * TINY.patch) for cells in (4, 8))
    state = plain.embed_template(template)
    tokens, removed = backbone(state, template.new_zeros(2, 0), search, 1.0)
    assert torch.equal(plain(state, search), tokens)
    assert removed.shape == (2, 0, 64)
