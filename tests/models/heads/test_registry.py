"""The records of heads: what each predicts, and the objective that judges it."""

from typing import get_args, get_type_hints

import pytest
import torch

from lib.models.heads.registry import HEADS, HeadConfig, HeadKind, HeadPrediction, build_head

FEATURES = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))
BOXES = torch.tensor([[0.25, 0.25, 0.5, 0.5]]).expand(2, 4)


def predict(kind: HeadKind) -> HeadPrediction:
    return build_head(HeadConfig(kind=kind, channels=8), width=8, grid=4)(FEATURES)


def test_each_head_has_an_objective_for_what_it_predicts():
    assert [*HEADS] == ["center", "corner", "mlp", "distance"]
    for kind, head in HEADS.items():
        prediction = predict(kind)
        assert type(prediction) is head.prediction is get_type_hints(head.objective.__call__)["prediction"]
        result = head.objective(head.objective_config())(prediction, BOXES)
        assert result.total.requires_grad
        assert "iou" in result.monitors, "what every training run shows"
    assert {head.prediction for head in HEADS.values()} == set(get_args(HeadPrediction))


def test_the_total_is_the_weighted_sum_and_every_weight_is_used():
    """A weight that is doubled adds its term once more; a background weight alone changes a term."""
    for kind, head in HEADS.items():
        prediction, config = predict(kind), head.objective_config()
        usual = head.objective(config)(prediction, BOXES)
        weights = set(head.objective_config.model_fields) - {"background", "denominator"}
        assert usual.terms.keys() == head.objective(config).weights.keys() == weights
        for name, term in usual.terms.items():
            weight = getattr(config, name)
            doubled = head.objective(config.model_copy(update={name: 2 * weight}))(prediction, BOXES)
            torch.testing.assert_close(doubled.total - usual.total, weight * term)


@pytest.mark.parametrize("kind", HEADS)
def test_losses_are_float32_under_autocast_and_of_halves(kind):
    head, prediction = HEADS[kind], predict(kind)
    objective = head.objective(head.objective_config())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = objective(prediction, BOXES)
    assert torch.equal(mixed.total, objective(prediction, BOXES).total)
    half = head.prediction(*(part.bfloat16() for part in prediction[:-1]), extras={})
    result = objective(half, BOXES)
    widened = objective(head.prediction(*(part.float() for part in half[:-1]), extras={}), BOXES)
    assert torch.equal(result.total, widened.total)
    monitors = [value for value in result.monitors.values() if value.is_floating_point()]
    assert {scalar.dtype for scalar in (result.total, *result.terms.values(), *monitors)} == {torch.float32}
