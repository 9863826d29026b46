"""TransT's tracker against the recorded steps of the public one: crops, network, window penalty, clipping, state."""

import numpy as np
import pytest
from eager_networks import FixedModel
from eager_networks import tracker_of as tracker_with
from recorded_frames import texture

from lib.experiment.config import load_experiment
from lib.inference.tracker import Tracker
from lib.models.base import TrackingModel
from lib.models.heads.mlp import MLPPrediction
from lib.models.registry import FAMILIES
from lib.models.weights.released import load_released
from tests.reference_weights import REFERENCE, filled_state_dict, image_tensor

GOLDEN = np.load(REFERENCE / "transt_tracker.golden.npz", allow_pickle=False)
CASES = ("interior", "bottomleft", "topright")
EXPERIMENT = load_experiment("transt")
PIXELS = 0.05


FRAMES = [texture(number) for number in range(4)]


def tracker_of(model: TrackingModel) -> Tracker:
    """The settings of the experiment, which are those of the published tracker."""
    return tracker_with(model, EXPERIMENT.template, EXPERIMENT.search, EXPERIMENT.test.tracker)


@pytest.fixture(scope="module")
def network() -> TrackingModel:
    """The paper's network with the recorded ``alt_rule``, which keeps scores and boxes of the cells apart."""
    model = FAMILIES["transt"].network(EXPERIMENT.model, EXPERIMENT.template.size, EXPERIMENT.search.size)
    weights = filled_state_dict("transt", seed=0)
    for name, value in weights.items():
        if value.ndim >= 2:
            factor = 2.0 if name.endswith("in_proj_weight") else 0.125 if name.endswith("out_proj.weight") else 1.0
            weights[name] = value * (0.75 if name.startswith("backbone.") else factor)
    load_released(model, weights)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_network_tracks_as_recorded(case: str, network: TrackingModel) -> None:
    predictions: list[MLPPrediction] = []
    handle = network.box_head.register_forward_hook(lambda module, given, answer: predictions.append(answer))
    tracker = tracker_of(network)
    tracker.init(FRAMES[0], GOLDEN[f"{case}.init_bbox"])
    for step in (1, 2, 3):
        name = f"alt.{case}.step{step}"
        result = tracker.update(FRAMES[step])
        scores, boxes = predictions[-1].scores[0], predictions[-1].boxes[0]
        best = int(GOLDEN[f"{name}.best_index"])
        assert result.score == float(scores[best])
        assert result.score == pytest.approx(float(GOLDEN[f"{name}.best_score_raw"]), abs=1e-4)
        spread = scores.mean(), scores.min(), scores.max()
        np.testing.assert_allclose(spread, GOLDEN[f"{name}.score_mean_min_max"], atol=1e-4)
        np.testing.assert_allclose(boxes[best], GOLDEN[f"{name}.pred_box_at_best"], atol=2e-5)
        np.testing.assert_allclose(result.box, GOLDEN[f"{name}.target_bbox"], atol=PIXELS)
    handle.remove()


@pytest.mark.parametrize("case", CASES)
def test_what_follows_the_network_is_as_recorded(case: str) -> None:
    """Window penalty, choice, map back and clipping; two of the cases reach an edge with their center, one with the
    size."""
    made_up = image_tensor((1, 6, 32, 32), f"post:{case}", seed=0)[0].flatten(1).T
    scores, boxes = (3 * made_up[:, :2]).softmax(dim=-1)[:, 0], made_up[:, 2:].sigmoid()
    tracker = tracker_of(FixedModel(boxes, scores))
    tracker.init(FRAMES[0], GOLDEN[f"{case}.init_bbox"])
    for step in (1, 2):
        name = f"post.{case}.step{step}"
        result = tracker.update(FRAMES[step])
        assert result.score == float(scores[int(GOLDEN[f"{name}.best_index"])])
        np.testing.assert_allclose(result.box, GOLDEN[f"{name}.target_bbox"], atol=PIXELS)
        np.testing.assert_allclose(result.box[2:], GOLDEN[f"{name}.size_out"], atol=PIXELS)


def test_the_recorded_choice_needs_the_penalty() -> None:
    """Without it other cells are taken, so the window's share is what the recorded steps prove."""
    plain = EXPERIMENT.test.tracker.model_copy(update={"window": "none"})
    others = 0
    for case in CASES:
        made_up = image_tensor((1, 6, 32, 32), f"post:{case}", seed=0)[0].flatten(1).T
        scores = (3 * made_up[:, :2]).softmax(dim=-1)[:, 0]
        model = FixedModel(made_up[:, 2:].sigmoid(), scores)
        tracker = tracker_with(model, EXPERIMENT.template, EXPERIMENT.search, plain)
        tracker.init(FRAMES[0], GOLDEN[f"{case}.init_bbox"])
        score = tracker.update(FRAMES[1]).score
        assert score == float(scores.max())
        others += score != float(scores[int(GOLDEN[f"post.{case}.step1.best_index"])])
    assert others > 0
