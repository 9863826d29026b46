"""Fusion of template and search tokens, part by part, against the same computed by hand or by PyTorch's layers."""

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn

from lib.models.transt import (
    FUSIONS,
    CrossFeature,
    EgoContext,
    FeatureFusionLayer,
    FusionConfig,
    TransformerFusion,
    begin_by_likeness,
    correlate,
)

SIZES = {"layers": 2, "width": 16, "heads": 2, "hidden": 24}
KINDS = {
    "eca_cfa": {},
    "cfa": {"ego_context": False},
    "eca_correlation": {"cross_feature": False},
    "correlation": {"ego_context": False, "cross_feature": False},
    "transformer": {"kind": "transformer"},
}


def config(**changes) -> FusionConfig:
    return FusionConfig(**(SIZES | {"dropout": 0.0} | changes))


def fusion_of(config: FusionConfig) -> nn.Module:
    return FUSIONS[config.kind](config, 2, 3)


def randomized(module: nn.Module) -> nn.Module:
    """With no bias or norm at its starting value, behind which much can hide."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) / 5)
    return module.eval()


def tokens(count: int, batch: int = 2, seed: int = 0, width: int = 16) -> Tensor:
    return torch.randn(batch, count, width, generator=torch.Generator().manual_seed(seed))


def attend(attention: nn.MultiheadAttention, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Softmax attention written out, two heads of 8."""
    weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    q, k, v = (
        F.linear(part, weight, bias).unflatten(2, (2, 8)).transpose(1, 2)
        for part, weight, bias in zip((queries, keys, values), weights, biases, strict=True)
    )
    found = (q @ k.transpose(2, 3) / 8**0.5).softmax(dim=-1) @ v
    return attention.out_proj(found.transpose(1, 2).flatten(2))


def perceive(module: CrossFeature, values: Tensor) -> Tensor:
    return module.norm2(values + module.linear2(module.linear1(values).relu()))


def test_the_two_modules_are_the_papers_written_out():
    """Positions go to queries and keys, not to values; the norm comes after each sum."""
    ego, cross = randomized(EgoContext(config())), randomized(CrossFeature(config()))
    template, search, z, x = tokens(4), tokens(9, seed=1), tokens(4, 1, 2), tokens(9, 1, 3)
    expected = ego.norm(search + attend(ego.attention, search + x, search + x, search))
    torch.testing.assert_close(ego(search, x), expected, rtol=1e-5, atol=1e-5)
    met = cross.norm1(search + attend(cross.attention, search + x, template + z, template))
    torch.testing.assert_close(cross(search, x, template, z), perceive(cross, met), rtol=1e-5, atol=1e-5)


def test_without_cross_attention_the_perceptron_is_left():
    cross = randomized(CrossFeature(config(cross_feature=False)))
    search = tokens(9)
    found = cross(search, tokens(9, 1, 3), tokens(4), tokens(4, 1, 2))
    torch.testing.assert_close(found, perceive(cross, search))
    assert {name.partition(".")[0] for name, _ in cross.named_parameters()} == {"linear1", "linear2", "norm2"}


@pytest.mark.parametrize("ego_context", [True, False])
def test_both_sides_look_at_each_other_before_either_is_changed(ego_context):
    layer = randomized(FeatureFusionLayer(config(ego_context=ego_context)))
    template, search, places = tokens(4), tokens(9, seed=1), (tokens(4, 1, 2), tokens(9, 1, 3))
    z, x = template, search
    if ego_context:
        z, x = layer.template_eca(template, places[0]), layer.search_eca(search, places[1])
    expected = layer.template_cfa(z, places[0], x, places[1]), layer.search_cfa(x, places[1], z, places[0])
    for ours, wanted in zip(layer(template, search, places), expected, strict=True):
        assert torch.equal(ours, wanted)
    changed = layer.search_cfa(x, places[1], expected[0], places[0])
    assert not torch.allclose(changed, expected[1], atol=1e-2), "the order of the two makes no difference"


@pytest.mark.parametrize(("template_grid", "search_grid"), [(2, 5), (3, 4), (4, 4), (1, 3)])
def test_correlation_equals_sums_over_the_templates_cells(template_grid, search_grid):
    search, template = tokens(search_grid**2, width=4), tokens(template_grid**2, seed=1, width=4)
    found = correlate(search, template, search_grid, template_grid)
    expected = torch.zeros_like(search)
    middle = template_grid // 2
    for row in range(search_grid):
        for column in range(search_grid):
            for r in range(template_grid):
                for c in range(template_grid):
                    y, x = row + r - middle, column + c - middle
                    if 0 <= y < search_grid and 0 <= x < search_grid:
                        product = search[:, y * search_grid + x] * template[:, r * template_grid + c]
                        expected[:, row * search_grid + column] += product
    torch.testing.assert_close(found, expected / template_grid**2)


def test_correlation_answers_where_the_template_lies():
    """The peak is the cell whose upper left corner is the middle of the place that the template was taken from."""
    scene = tokens(81, batch=3).unflatten(1, (9, 9))
    template = scene[:, 3:7, 1:5].flatten(1, 2)
    peaks = correlate(scene.flatten(1, 2), template, 9, 4).sum(dim=2).argmax(dim=1)
    assert peaks.tolist() == [5 * 9 + 3] * 3


@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS)
def test_the_template_decides_what_is_found_and_no_sample_sees_another(changes):
    fusion = randomized(fusion_of(config(**changes)))
    template, search = tokens(4, 3), tokens(9, 3, seed=1)
    together = fusion(fusion.remember(template), search)
    alone = fusion(fusion.remember(template[1:2]), search[1:2])
    torch.testing.assert_close(alone[0], together[1], rtol=1e-4, atol=1e-5)
    swapped = fusion(fusion.remember(template.flip(0)), search)
    torch.testing.assert_close(swapped[1], together[1], rtol=1e-4, atol=1e-5)
    assert (swapped[0] - together[0]).abs().max() > 1e-3


@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS)
def test_places_count_wherever_there_is_attention_or_correlation(changes):
    """Search cells in another order are not the same cells in another order."""
    fusion = randomized(fusion_of(config(**changes)))
    state, search = fusion.remember(tokens(4)), tokens(9, seed=1)
    assert (fusion(state, search.flip(1)).flip(1) - fusion(state, search)).abs().max() > 1e-3


def test_the_parts_that_an_ablation_takes_away_are_gone():
    def parts(**changes) -> set[str]:
        names = [name.split(".") for name, _ in fusion_of(config(**changes)).named_parameters()]
        return {part for name in names for part in name if "eca" in part or part in ("attention", "last", "linear1")}

    both = {"template_eca", "search_eca", "attention", "last", "linear1"}
    assert parts() == both
    assert parts(ego_context=False) == {"attention", "last", "linear1"}
    assert parts(cross_feature=False) == {"template_eca", "search_eca", "attention", "linear1"}
    assert parts(ego_context=False, cross_feature=False) == {"linear1"}


def test_correlation_takes_the_place_of_the_last_cross_attention():
    fusion = randomized(fusion_of(config(cross_feature=False)))
    z, x = tokens(4), tokens(9, seed=1)
    found = fusion(fusion.remember(z), x)
    for layer in fusion.layers:
        z, x = layer(z, x, (fusion.template_positions, fusion.search_positions))
    torch.testing.assert_close(found, fusion.norm(correlate(x, z, 3, 2)))


def test_the_original_transformer_is_pytorchs():
    """Without positions, which PyTorch's layers do not take."""
    fusion = randomized(TransformerFusion(config(kind="transformer"), 2, 3))
    fusion.template_positions.zero_()
    fusion.search_positions.zero_()
    memory, found = tokens(4), tokens(9, seed=1)
    state = fusion.remember(memory)
    ours = fusion(state, found)
    for layer in fusion.encoder:
        memory = nn.TransformerEncoderLayer.forward(layer, memory)
    for layer in fusion.decoder:
        found = nn.TransformerDecoderLayer.forward(layer, found, memory)
    torch.testing.assert_close(state, memory, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours, fusion.norm(found), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["feature", "transformer"])
def test_dropout_is_in_training_alone_and_reaches_attention_weights(kind):
    fusion = randomized(fusion_of(config(kind=kind, dropout=0.5)))
    state, search = fusion.remember(tokens(4)), tokens(9, seed=1)
    assert torch.equal(fusion(state, search), fusion(state, search))
    fusion.train()
    for module in fusion.modules():
        if isinstance(module, nn.Dropout):
            assert module.p == 0.5
            module.eval()
    assert not torch.allclose(fusion(state, search), fusion(state, search), atol=1e-3)


def test_attention_weights_are_never_formed(monkeypatch):
    """Each attention is one call of PyTorch's fused function, 4 a layer and the last."""
    calls, fused = [], F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *given: calls.append(given) or fused(*given))
    fusion = fusion_of(config())
    for mode in (True, False):
        fusion.train(mode)(tokens(4), tokens(9))
        assert len(calls) == 4 * 2 + 1
        calls.clear()


def test_fresh_matrices_are_xaviers_and_begin_by_likeness_when_asked():
    torch.manual_seed(0)
    fusion = fusion_of(FusionConfig(layers=1))
    for name, parameter in fusion.named_parameters():
        if parameter.ndim > 1:
            bound = (6 / sum(parameter.shape)) ** 0.5
            assert 0.99 * bound < parameter.abs().max() <= bound, name
    before = {name: value.clone() for name, value in fusion.state_dict().items()}
    fusion.apply(begin_by_likeness)
    for name, value in fusion.state_dict().items():
        if name.endswith("in_proj_weight"):
            (q, k, v), (old_q, old_k, old_v) = value.chunk(3), before[name].chunk(3)
            assert torch.equal(k, q) and not torch.equal(old_k, old_q)
            assert torch.equal(q, old_q) and torch.equal(v, old_v)
        else:
            assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, "width 16 is not a multiple of heads 3"),
        ({"kind": "transformer", "ego_context": False}, "parts of kind feature"),
        ({"kind": "transformer", "cross_feature": False}, "parts of kind feature"),
        ({"width": 18, "heads": 1}, "multiple of 4"),
        ({"layers": 0}, "greater than 0"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        config(**changes)
