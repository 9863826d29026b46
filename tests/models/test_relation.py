"""Attention under the T / S / A rule: against a loop over pairs, the published softmax against the exact one, and the
form that keeps no matrix of all pairs against the plain one that autograd differentiates."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lib.models.layers.relation import PUBLISHED_EPS, exact_attention, published_attention, relation_mask

Attend = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def reference_attention(q: Tensor, k: Tensor, v: Tensor, interacts: Tensor) -> Tensor:
    """The published form as its authors wrote it, with one matrix of all pairs after the other; float64 stays so."""
    tokens, precise = q.shape[2], torch.promote_types(q.dtype, torch.float32)
    logits = (q @ k.transpose(-2, -1)).to(precise) * q.shape[-1] ** -0.5
    mask = relation_mask(interacts.to(precise), tokens - interacts.shape[1])[:, None]
    weights = (logits - logits.amax(dim=-1, keepdim=True)).exp() * mask
    weights = (weights + PUBLISHED_EPS / tokens) / (weights.sum(dim=-1, keepdim=True) + PUBLISHED_EPS)
    return weights.to(v.dtype) @ v


class Sizes(NamedTuple):
    batch: int
    heads: int
    template: int
    search: int
    width: int


SIZES = (Sizes(3, 2, 4, 9, 8), Sizes(2, 3, 16, 64, 24), Sizes(5, 1, 1, 1, 3), Sizes(1, 12, 64, 256, 64))
SMALL = SIZES[0]


def draw(sizes: Sizes, seed: int, gap: float = 0.0, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Queries, keys and values as a packed projection gives them, and decisions.

    ``gap`` raises the logits of all queries with the template's keys, of which half the search tokens know nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    tokens = sizes.template + sizes.search
    packed = torch.randn(sizes.batch, tokens, 3, sizes.heads, sizes.width, generator=generator, dtype=torch.float64)
    packed[:, :, 0, :, 0] = sizes.width**0.5
    packed[:, : sizes.template, 1, :, 0] += gap
    interacts = (torch.rand(sizes.batch, sizes.search, generator=generator) < 0.5).to(
        torch.promote_types(dtype, torch.float32)
    )
    return [*packed.to(dtype).permute(2, 0, 3, 1, 4), interacts]


def gradients(attend: Attend, inputs: list[Tensor], seed: int = 5) -> tuple[Tensor, ...]:
    """Of an uneven weighting of the outputs, with respect to all inputs."""
    inputs = [tensor.detach().requires_grad_() for tensor in inputs]
    attended = attend(*inputs)
    weight = torch.randn(attended.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.autograd.grad(attended, inputs, weight.to(attended.dtype))


def differences(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> list[float]:
    """The largest one of each tensor, over the tensor's largest entry."""
    return [float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True)]


@pytest.fixture(params=["a few samples at once", "one sample at a time"])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "one sample at a time":
        monkeypatch.setattr("lib.models.layers.relation.CPU_CHUNK_BYTES", 1)


def kinds(interacts: torch.Tensor, template_tokens: int) -> list[str]:
    return ["T"] * template_tokens + ["A" if value else "S" for value in interacts.tolist()]


def test_mask_is_the_stated_rule():
    interacts = torch.tensor([[1.0, 0, 0, 1, 0]])
    names = kinds(interacts[0], 3)
    stated = [[float(i == j or "A" in (i, j)) for j in names] for i in names]
    assert torch.equal(relation_mask(interacts, 3)[0], torch.tensor(stated))


def test_mask_equals_the_sum_of_one_hot_products_in_value_and_in_gradient():
    """The published sum of products and ours, through the same straight-through softmax."""
    logits = torch.randn(2, 6, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 10, 10, dtype=torch.float64)

    def decisions() -> torch.Tensor:
        soft = logits.softmax(dim=-1)
        return F.one_hot(soft.argmax(dim=-1), 2) - soft.detach() + soft

    ours = relation_mask(decisions()[..., 1], 4)
    template = torch.zeros(2, 10, dtype=torch.float64)
    template[:, :4] = 1
    apart, both = (F.pad(decisions()[..., kind], (4, 0)) for kind in (0, 1))

    def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a[:, :, None] * b[:, None, :]

    published = product(template, template) + product(apart, apart) + product(both, both)
    for kind in (template, apart):
        published = published + product(kind, both) + product(both, kind)
    torch.testing.assert_close(ours, published)
    expected = torch.autograd.grad((published * weight).sum(), logits)[0]
    torch.testing.assert_close(torch.autograd.grad((ours * weight).sum(), logits)[0], expected)
    assert expected.abs().max() > 0.01


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_exact_attention_equals_softmax_over_the_allowed_keys(share):
    q, k, v = torch.randn(3, 2, 2, 9, 4, dtype=torch.float64)
    interacts = (torch.rand(2, 6) < share).double()
    expected = torch.empty_like(v)
    for sample in range(2):
        names = kinds(interacts[sample], 3)
        for i, own in enumerate(names):
            allowed = [j for j, other in enumerate(names) if own == other or "A" in (own, other)]
            weights = (q[sample, :, i, None] * k[sample][:, allowed]).sum(-1).mul(0.5).softmax(-1)
            expected[sample, :, i] = (weights[..., None] * v[sample][:, allowed]).sum(1)
    torch.testing.assert_close(exact_attention(q, k, v, interacts), expected)


def search_weight_at_gap(gap: float, template_tokens: int, search_tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Search tokens kept apart, the template's keys ``gap`` above theirs in every logit; values are 1 for search tokens
    and 0 for the template, so an output is the weight that the allowed keys keep: exact and published form."""
    tokens = template_tokens + search_tokens
    is_search = torch.arange(tokens) >= template_tokens
    q = torch.ones(1, 1, tokens, 1)
    k = torch.where(is_search, 0.0, gap)[None, None, :, None]
    v = is_search.float()[None, None, :, None]
    interacts = torch.zeros(1, search_tokens)
    forms = (form(q, k, v, interacts)[0, 0, template_tokens:, 0] for form in (exact_attention, published_attention))
    return next(forms), next(forms)


@pytest.mark.parametrize("gap", [-5.0, 0.0, 2.0, 5.0])
def test_published_softmax_equals_the_exact_one_at_small_gaps(gap):
    """At GRM's size, 64 template and 256 search tokens."""
    exact, published = search_weight_at_gap(gap, 64, 256)
    torch.testing.assert_close(published, exact, atol=1e-5, rtol=0)


@pytest.mark.parametrize("gap", [5.0, 10.0, 14.0, 15.0])
def test_published_softmax_loses_weight_to_eps_at_large_gaps(gap):
    """One allowed key against one masked: (e^-g + eps / 2) / (e^-g + eps) of the weight is kept."""
    exact, published = search_weight_at_gap(gap, 1, 1)
    mass = torch.tensor(-gap, dtype=torch.float64).exp()
    kept = ((mass + 1e-6 / 2) / (mass + 1e-6)).float()
    torch.testing.assert_close(exact, torch.ones(1))
    torch.testing.assert_close(published, kept[None], atol=1e-6, rtol=1e-5)
    if gap == 15.0:
        assert 0.35 < float(exact - published) < 0.40


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("gap", [0.0, 12.0])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_published_outputs_equal_the_plain_form_to_the_bit(sizes, gap, seed, chunks):
    inputs = draw(sizes, seed, gap)
    expected = reference_attention(*inputs)
    assert torch.equal(published_attention(*inputs), expected)
    inputs[0].requires_grad_()
    assert torch.equal(published_attention(*inputs), expected)


def test_decisions_of_a_straight_through_draw_are_taken_as_they_are():
    """1 - p + p is not always 1; the plain form multiplies by it."""
    *qkv, interacts = draw(SMALL, seed=0)
    interacts = interacts * (1 - 2**-24)
    assert torch.equal(published_attention(*qkv, interacts.requires_grad_()), reference_attention(*qkv, interacts))


@pytest.mark.parametrize("gap", [0.0, 8.0, 14.0, 20.0])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_published_gradients_equal_autograds_of_the_plain_form(sizes, gap, chunks):
    """In float32, and in float64 much closer. At the larger gaps eps has a part in the weights, and the gradient of the
    row's maximum in that of the keys."""
    inputs = draw(sizes, 3, gap)
    expected = gradients(reference_attention, inputs)
    if sizes.width == 3:  # each token knows only itself and one other: sums of 2 terms, which rounding may cancel
        bound = 1e-5
    else:
        bound = 1e-6
    assert max(differences(gradients(published_attention, inputs), expected)) <= bound
    inputs = draw(sizes, 3, gap, torch.float64)
    expected = gradients(reference_attention, inputs)
    assert max(differences(gradients(published_attention, inputs), expected)) <= 1e-13
