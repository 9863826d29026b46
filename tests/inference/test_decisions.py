"""The maps of one frame: those that the network answers by, and only those that were asked for."""

import numpy as np
import pytest
import torch
from eager_networks import tracker_of
from families import fresh, tiny

from lib.inference import decisions
from lib.inference.decisions import decide
from lib.inference.tracker import Tracker
from lib.models.registry import FAMILIES

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (2, 90, 120, 3), dtype=np.uint8)
BOX = (40.0, 30.0, 30.0, 24.0)


def begun(family: str) -> Tracker:
    experiment = tiny(family)
    tracker = tracker_of(fresh(experiment), experiment.template, experiment.search, experiment.test.tracker)
    tracker.init(IMAGES[0], BOX)
    return tracker


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_maps_and_the_result_is_that_of_update(family):
    experiment, tracker, other = tiny(family), begun(family), begun(family)
    result, maps = decide(tracker, IMAGES[1])
    plain = other.update(IMAGES[1])
    assert np.array_equal(result.box, plain.box) and result.score == plain.score
    assert next(iter(maps)) in ("scores", "corners")
    for values, stages, meaning in maps.values():
        assert values.shape[:2] == (1, len(stages)) and meaning
        assert values.shape[2] == (experiment.search.size // experiment.model.stride) ** 2


def test_the_largest_score_after_the_window_is_the_chosen_candidate():
    tracker = begun("grm")
    result, maps = decide(tracker, IMAGES[1], ["scores"])
    assert maps["scores"].values[0, 1].argmax() == result.found.cells[0]
    assert torch.equal(maps["scores"].values[:, 0], result.prediction.scores)
    assert list(maps) == ["scores"]


def test_attention_is_computed_only_if_it_is_asked_for(monkeypatch):
    tracker, calls = begun("simtrack"), []
    record = decisions.recorded_attention
    monkeypatch.setattr(decisions, "recorded_attention", lambda *all: calls.append(all) or record(*all))
    assert list(decide(tracker, IMAGES[1], ["corners"]).maps) == ["corners"] and calls == []
    maps = decide(tracker, IMAGES[1], ["attention"]).maps
    assert list(maps) == ["attention"] and len(calls) == 1
    assert maps["attention"].stages == ("block 1", "block 2", "block 3", "block 4")
    target = calls[0][1]
    assert target.sum() == pytest.approx(1) and 0 < (target > 0).sum() < target.numel()  # the box, not all the template


def test_a_map_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match=r"has no map 'division'; it has corners, attention$"):
        decide(begun("simtrack"), IMAGES[1], ["division"])
    with pytest.raises(ValueError, match=r"has no map 'attention'; it has scores, division$"):
        decide(begun("grm"), IMAGES[1], ["attention"])


def test_an_exported_network_has_no_maps():
    tracker = Tracker(type("Exported", (), {"name": "small"})())
    with pytest.raises(ValueError, match=r"^small: an exported network gives its best box alone; name a checkpoint"):
        decide(tracker, IMAGES[1])
