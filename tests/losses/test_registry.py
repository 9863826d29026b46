"""Which objective judges which head."""

from typing import get_args, get_type_hints

import torch

from lib.losses.registry import OBJECTIVES
from lib.models.base import HeadPrediction
from lib.models.heads.config import HeadConfig, HeadKind, build_head


def test_each_head_has_an_objective_for_what_it_predicts():
    assert set(OBJECTIVES) == set(get_args(HeadKind))
    features = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    box = torch.tensor([[0.25, 0.25, 0.5, 0.5]]).expand(2, 4)
    judged = []
    for kind, objective in OBJECTIVES.items():
        prediction = build_head(HeadConfig(kind=kind, channels=8), width=8, grid=4)(features)
        judged.append(get_type_hints(objective.build.__call__)["prediction"])
        assert type(prediction) is judged[-1]
        result = objective.build(objective.config())(prediction, box)
        assert result.total.requires_grad
        assert "iou" in result.monitors, "what every training run shows"
    assert set(judged) == set(get_args(HeadPrediction))


def test_the_total_is_what_the_weights_say_and_every_weight_is_used():
    """A weight that is doubled adds its term once more; a background weight alone changes a term."""
    features = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    box = torch.tensor([[0.25, 0.25, 0.5, 0.5]]).expand(2, 4)
    for kind, (section, build) in OBJECTIVES.items():
        prediction = build_head(HeadConfig(kind=kind, channels=8), width=8, grid=4)(features)
        config = section()
        usual = build(config)(prediction, box)
        weights = set(section.model_fields) - {"background", "denominator"}
        assert usual.terms.keys() == build(config).weights.keys() == weights
        for name, term in usual.terms.items():
            weight = getattr(config, name)
            doubled = build(config.model_copy(update={name: 2 * weight}))(prediction, box)
            torch.testing.assert_close(doubled.total - usual.total, weight * term)
