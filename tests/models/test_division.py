"""The token division: decisions by each rule, and the gradient that reaches the predictor through them."""

import pytest
import torch

from lib.models.backbones.vit import ViTConfig
from lib.models.grm import (
    DividingBlock,
    DivisionConfig,
    choose_interacts,
    draw_interacts,
    target_representation,
)


def log_probs(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, 2).log_softmax(dim=-1)


def test_threshold_half_is_the_likelier_kind_and_a_lower_one_keeps_more_tokens_apart():
    prediction = log_probs(3, 50)
    argmax = choose_interacts(prediction, DivisionConfig())
    assert torch.equal(argmax, prediction.argmax(dim=-1).float())
    assert torch.equal(choose_interacts(prediction, DivisionConfig(threshold=0.5)), argmax)
    shares = [choose_interacts(prediction, DivisionConfig(threshold=t)).mean() for t in (0.2, 0.4, 0.5, 0.6, 1.0)]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1] == 1


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_ratio_takes_exactly_that_many_of_the_likeliest(ratio):
    prediction = log_probs(3, 50)
    chosen = choose_interacts(prediction, DivisionConfig(ratio=ratio)).bool()
    assert torch.equal(chosen.sum(dim=1), torch.full((3,), int(ratio * 50)))
    for row, mask in zip(prediction[..., 1], chosen, strict=True):
        if 0 < ratio < 1:
            assert row[mask].min() > row[~mask].max()


def test_threshold_and_ratio_together_are_refused():
    with pytest.raises(ValueError, match="ratio: null"):
        DivisionConfig(threshold=0.4, ratio=0.5)


def test_target_representations_against_loops():
    template, mask = torch.randn(2, 6, 5), torch.tensor([[1, 1, 0, 0, 1, 0], [0, 1, 1, 1, 1, 1]]).bool()
    for sample in range(2):
        whole = list(template[sample])
        masked = [token if keep else torch.zeros(5) for token, keep in zip(whole, mask[sample], strict=True)]
        for kind, tokens in (("all", whole), ("roi", masked)):
            stack = torch.stack(tokens)
            maximum = target_representation(template, mask, f"{kind}max")[sample]
            mean = target_representation(template, mask, f"{kind}avg")[sample]
            torch.testing.assert_close(maximum, stack.max(dim=0).values)
            torch.testing.assert_close(mean, stack.sum(dim=0) / 6)


def test_gumbel_draw_is_hard_and_follows_the_probabilities():
    prediction = torch.tensor([0.2, 0.8]).log().expand(1, 20_000, 2)
    drawn = draw_interacts(prediction)
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}
    assert abs(float(drawn.mean()) - 0.8) < 5 * (0.16 / 20_000) ** 0.5


def dividing(**division: str) -> DividingBlock:
    """The second block, whose attention gets large tokens: they make large gaps, where the two forms differ."""
    torch.manual_seed(3)  # search tokens of both kinds, in training and in evaluation
    block = DividingBlock(ViTConfig(width=16, depth=2, heads=2), 1, DivisionConfig(hidden=8, **division))
    torch.nn.init.constant_(block.norm1.weight, 30.0)
    return block.train()


def predictor_gradient(block: DividingBlock, tokens: torch.Tensor) -> float:
    block.zero_grad()
    tokens, interacts, _ = block(tokens, torch.ones(2, 4, dtype=torch.bool))
    assert 0 < interacts.mean() < 1
    (tokens * torch.linspace(-1, 1, tokens.numel()).view_as(tokens)).sum().backward()
    gradients = [parameter.grad for parameter in block.attn.divide_predict.parameters()]
    return max(0.0 if gradient is None else float(gradient.abs().max()) for gradient in gradients)


@pytest.mark.parametrize("form", ["exact", "published"])
def test_predictor_learns_through_the_decisions_only(form, monkeypatch):
    block = dividing(train_softmax=form)
    tokens = torch.randn(2, 20, 16)
    assert predictor_gradient(block, tokens) > 1e-6
    detached = lambda log_probs: draw_interacts(log_probs).detach()  # noqa: E731
    monkeypatch.setattr("lib.models.grm.draw_interacts", detached)
    assert predictor_gradient(block, tokens) == 0


@pytest.mark.parametrize("training", [True, False])
def test_training_and_evaluation_each_have_their_form_of_the_softmax(training):
    """Of all four settings only this pass's counts."""
    tokens, attended = torch.randn(2, 20, 16, generator=torch.Generator().manual_seed(0)), {}
    for train_softmax in ("exact", "published"):
        for softmax in ("exact", "published"):
            block = dividing(train_softmax=train_softmax, softmax=softmax).train(training)
            torch.manual_seed(1)
            attended[train_softmax, softmax] = block(tokens, torch.ones(2, 4, dtype=torch.bool))[0]
    same, other = [("exact", "published"), ("published", "exact")][:: 1 if training else -1]
    assert torch.equal(attended["exact", "exact"], attended[same])
    assert torch.equal(attended["published", "published"], attended[other])
    assert (attended[same] - attended[other]).abs().max() > 1e-2


def test_division_stays_in_float32_under_bfloat16():
    """Same float32 prediction, same draw, with and without autocast; decisions and probabilities are float32."""
    with torch.autocast("cpu", torch.bfloat16):
        _, interacts, prediction = dividing()(torch.randn(2, 20, 16), torch.ones(2, 4, dtype=torch.bool))
    assert (interacts.dtype, prediction.dtype) == (torch.float32, torch.float32)
    prediction = log_probs(2, 30)
    torch.manual_seed(3)
    plain = draw_interacts(prediction)
    torch.manual_seed(3)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(draw_interacts(prediction), plain)
