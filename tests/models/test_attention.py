"""Rows of attention beside a network: they equal attention computed another way, and nothing else changes."""

import pytest
import torch
from families import fresh, inputs, tiny

from lib.models import attention
from lib.models.attention import attention_rows, recorded_attention
from lib.models.registry import FAMILIES

ATTENDING = ("lorat", "simtrack", "stark_sv", "transt")


def flat(prediction) -> list[torch.Tensor]:
    return [value for value in (*prediction[:-1], *prediction.extras.values()) if isinstance(value, torch.Tensor)]


@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_outputs_are_equal_to_the_bit_with_and_without_rows(family, monkeypatch):
    experiment = tiny(family)
    model, (template, box, search) = fresh(experiment), inputs(experiment, 2)
    computed = []
    monkeypatch.setattr(attention, "attention_rows", lambda *all: computed.append(attention_rows(*all)) or computed[-1])
    plain = model(template, box, search)
    assert computed == []
    modules = FAMILIES[family].attention(model)
    assert bool(modules) == (family in ATTENDING)
    if not modules:
        return
    target = torch.full((2, model.template_grid**2), 1 / model.template_grid**2)
    with recorded_attention(modules, target, model.search_grid**2) as rows:
        recorded = model(template, box, search)
    assert all(torch.equal(one, other) for one, other in zip(flat(plain), flat(recorded), strict=True))
    assert list(rows) == list(modules) and len(computed) == len(modules)
    assert all(row.shape == (2, model.search_grid**2) and 0 < row.sum() <= 2 for row in rows.values())
    model(template, box, search)
    assert len(computed) == len(modules)  # the hooks are gone


@torch.inference_mode()
def test_rows_of_masked_attention_by_hand():
    torch.manual_seed(0)
    q, k = torch.randn(2, 3, 20, 8), torch.randn(2, 3, 20, 8)
    weights = torch.rand(2, 4).softmax(dim=1)
    allowed = torch.rand(20, 20) > 0.4
    logits = torch.einsum("bhmd,bhnd->bhmn", q, k) / 8**0.5
    whole = torch.where(allowed, logits.exp(), 0)
    whole = (whole / whole.sum(dim=-1, keepdim=True)).mean(dim=1)[:, :4]
    expected = (weights[:, None] @ whole).squeeze(1)[:, 4:]
    torch.testing.assert_close(attention_rows(q[:, :, :4], k, weights, 16, allowed), expected)


@torch.inference_mode()
def test_rows_of_a_multi_head_attention_are_its_weights():
    torch.manual_seed(0)
    module = torch.nn.MultiheadAttention(16, 4, batch_first=True).eval()
    module.in_proj_bias.normal_()
    queries, keys = torch.randn(2, 5, 16), torch.randn(2, 9, 16)
    target = torch.rand(2, 5).softmax(dim=1)
    with recorded_attention({"layer": module}, target, 6) as rows:
        module(queries, keys, keys, need_weights=False)
    _, weights = module(queries, keys, keys, need_weights=True)
    torch.testing.assert_close(rows["layer"], (target[:, None] @ weights).squeeze(1)[:, -6:])


def test_blocks_without_interaction_have_no_rows():
    experiment = tiny("simtrack", None, "model.backbone.interact_every=2")
    assert list(FAMILIES["simtrack"].attention(fresh(experiment))) == ["block 2", "block 4"]
    experiment = tiny("simtrack", None, "model.backbone.one_way=true")
    assert FAMILIES["simtrack"].attention(fresh(experiment)) == {}
