"""Attention under the T / S / A rule: against a loop over pairs, and the published softmax against the exact one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lib.models.layers.relation import exact_attention, published_attention, relation_mask


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
