"""The heads against straightforward formulas, and what all of them promise."""

from typing import get_args

import numpy as np
import pytest
import torch

from lib.models.heads.center import SCORE_MARGIN, CenterHead
from lib.models.heads.convolutions import add_branch, run_branch
from lib.models.heads.corner import CornerHead, CornerPrediction
from lib.models.heads.distance import DistanceHead
from lib.models.heads.registry import HeadConfig, HeadKind, build_head

KINDS = get_args(HeadKind)
WIDTH, GRID = 24, 6


def head(kind: HeadKind) -> torch.nn.Module:
    """A head whose BatchNorm statistics are not those it starts with."""
    torch.manual_seed(0)
    built = build_head(HeadConfig(kind=kind, channels=16), WIDTH, GRID)
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return built.eval()


def features(batch: int = 3) -> torch.Tensor:
    return torch.randn(batch, WIDTH, GRID, GRID, generator=torch.Generator().manual_seed(1))


# What all heads promise


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_a_head_computes_in_float32_under_autocast(kind):
    model, inputs = head(kind), features().bfloat16()
    expected = model(inputs.float())
    with torch.autocast("cpu", torch.bfloat16):
        prediction = model(inputs)
    for ours, theirs in zip(prediction[:-1], expected[:-1], strict=True):
        assert ours.dtype == torch.float32
        assert torch.equal(ours, theirs)


def test_channels_are_of_the_first_layer_or_of_both_hidden_ones():
    wide = {kind: build_head(HeadConfig(kind=kind, channels=32), WIDTH, GRID) for kind in KINDS}
    for name, outputs in (("ctr", 1), ("size", 2), ("offset", 2)):
        sizes = [getattr(wide["center"], f"conv{level}_{name}")[0].out_channels for level in (1, 2, 3, 4)]
        assert sizes == [32, 16, 8, 4]
        assert getattr(wide["center"], f"conv5_{name}").out_channels == outputs
    assert [getattr(wide["corner"], f"conv{level}_tl")[0].out_channels for level in (1, 2, 3, 4)] == [32, 16, 8, 4]
    assert [layer.out_features for layer in wide["mlp"].bbox_embed.layers] == [32, 32, 4]
    with pytest.raises(ValueError, match="multiple of 8"):
        HeadConfig(kind="center", channels=12)


def test_a_branch_is_convolutions_with_batch_norm_and_relu():
    module = torch.nn.Module()
    add_branch(module, "any", WIDTH, 16, 2)
    module.eval()
    expected = inputs = features()
    for level in (1, 2, 3, 4):
        convolution, norm, _ = getattr(module, f"conv{level}_any")
        expected = torch.nn.functional.conv2d(expected, convolution.weight, convolution.bias, padding=1)
        mean, variance = (part[:, None, None] for part in (norm.running_mean, norm.running_var))
        expected = (expected - mean) / (variance + 1e-5).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]
        expected = expected.clamp(min=0)
    last = module.conv5_any
    expected = torch.einsum("oc,bchw->bohw", last.weight[:, :, 0, 0], expected) + last.bias[:, None, None]
    torch.testing.assert_close(run_branch(module, "any", inputs), expected)


# Corner head


def by_hand(logits: np.ndarray) -> tuple[float, float, float]:
    """Expected x and y of a map ``[F, F]``, cell by cell in float64, and its largest probability."""
    weights = np.exp(logits.astype(np.float64))
    total, x, y = weights.sum(), 0.0, 0.0
    for row in range(GRID):
        for column in range(GRID):
            x += weights[row, column] / total * column / GRID
            y += weights[row, column] / total * row / GRID
    return x, y, weights.max() / total


@torch.inference_mode()
def test_corners_are_expectations_over_upper_left_corners_of_cells():
    prediction = head("corner")(5 * features())
    for sample in range(3):
        left, top, first = by_hand(prediction.top_left[sample].numpy())
        right, bottom, second = by_hand(prediction.bottom_right[sample].numpy())
        expected = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
        np.testing.assert_allclose(prediction.boxes[sample, 0].numpy(), expected, atol=1e-6)
        np.testing.assert_allclose(prediction.scores[sample, 0].item(), first * second, rtol=1e-5)


def of_maps(top_left: torch.Tensor, bottom_right: torch.Tensor) -> CornerPrediction:
    """The prediction of a corner head whose branches give these maps ``[1, F, F]``."""
    built = CornerHead(1, 8, GRID)
    for branch, wanted in (("tl", top_left), ("br", bottom_right)):
        for level in range(1, 5):
            setattr(built, f"conv{level}_{branch}", torch.nn.Identity())
        getattr(built, f"conv5_{branch}").forward = lambda _, wanted=wanted: wanted[:, None]
    return built(torch.zeros(1, 1, GRID, GRID))


@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 5), (GRID - 1, GRID - 1)])
def test_a_corner_reaches_from_0_to_one_cell_before_the_end(row, column):
    sharp = torch.zeros(1, GRID, GRID)
    sharp[0, row, column] = 100
    prediction = of_maps(torch.zeros(1, GRID, GRID), sharp)
    middle = (GRID - 1) / 2 / GRID
    right, bottom = column / GRID, row / GRID
    expected = [(middle + right) / 2, (middle + bottom) / 2, right - middle, bottom - middle]
    torch.testing.assert_close(prediction.boxes[0, 0], torch.tensor(expected))
    torch.testing.assert_close(prediction.scores[0, 0], torch.tensor(1 / GRID**2))
    assert max(right, bottom) <= 1 - 1 / GRID


def test_two_sharp_corners_have_a_high_score_even_if_inverted():
    first, second = torch.zeros(2, 1, GRID, GRID)
    first[0, 4, 3], second[0, 1, 5] = 100, 100
    prediction = of_maps(first, second)
    torch.testing.assert_close(prediction.boxes[0, 0] * GRID, torch.tensor([4, 2.5, 2, -3]))
    torch.testing.assert_close(prediction.scores, torch.ones(1, 1))


# MLP head


@torch.inference_mode()
def test_each_cells_vector_is_judged_alone():
    model, inputs = head("mlp"), features()
    prediction = model(inputs)
    sample, row, column = 1, 2, 5
    vector = inputs[sample, :, row, column]
    outputs = []
    for perceptron in (model.class_embed, model.bbox_embed):
        hidden = vector
        for index, layer in enumerate(perceptron.layers):
            hidden = layer.weight @ hidden + layer.bias
            hidden = hidden.clamp(min=0) if index < 2 else hidden
        outputs.append(hidden)
    logits, box = outputs
    cell = row * GRID + column
    torch.testing.assert_close(prediction.logits[sample, cell], logits)
    torch.testing.assert_close(prediction.boxes[sample, cell], 1 / (1 + (-box).exp()))
    torch.testing.assert_close(prediction.scores[sample, cell], 1 / (1 + (logits[1] - logits[0]).exp()))


# Center head


@torch.inference_mode()
def test_each_cell_of_the_center_head_has_its_box_and_score():
    prediction = head("center")(features())
    for row, column in ((0, 0), (2, 5), (5, 1)):
        cell = row * GRID + column
        x, y = (torch.tensor([column, row]) + prediction.offset_map[1, :, row, column]) / GRID
        w, h = prediction.size_map[1, :, row, column]
        torch.testing.assert_close(prediction.boxes[1, cell], torch.stack([x, y, w, h]))
        assert prediction.scores[1, cell] == prediction.score_map[1, 0, row, column]


@torch.inference_mode()
def test_scores_and_sizes_of_the_center_head_stay_between_0_and_1():
    model = CenterHead(WIDTH, 16, GRID).eval()
    for sign, bound in ((1, 1 - SCORE_MARGIN), (-1, SCORE_MARGIN)):
        for branch in ("ctr", "size", "offset"):
            getattr(model, f"conv5_{branch}").bias.fill_(50.0 * sign)
        prediction = model(features())
        assert torch.equal(prediction.score_map, torch.full_like(prediction.score_map, bound))
        assert torch.equal(prediction.size_map, torch.full_like(prediction.size_map, bound))
        assert (prediction.offset_map.abs() > 40).all()


# Distance


@torch.inference_mode()
def test_each_cells_distances_count_from_its_own_center():
    model, inputs = head("distance"), features()
    assert isinstance(model, DistanceHead)
    prediction = model(inputs)
    for row, column in ((0, 0), (2, 5), (5, 1)):
        cell, vector = row * GRID + column, inputs[:, :, row, column]
        left, top, right, bottom = model.reg_mlp(vector).sigmoid().unbind(dim=1)
        x, y = (column + 0.5) / GRID, (row + 0.5) / GRID
        expected = torch.stack([x - left, y - top, x + right, y + bottom], dim=1)
        torch.testing.assert_close(prediction.corners[:, cell], expected)
        torch.testing.assert_close(prediction.logits[:, cell], model.cls_mlp(vector)[:, 0])
    torch.testing.assert_close(prediction.boxes[..., :2] * 2, prediction.corners[..., :2] + prediction.corners[..., 2:])
    torch.testing.assert_close(prediction.scores, prediction.logits.sigmoid())
