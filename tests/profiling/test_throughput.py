"""Frames a second of the engine, while no target moves."""

import numpy as np
import pytest
from eager_networks import network_of
from families import fresh, tiny

from lib.data.types import Sequence
from lib.inference.engine import Engine
from lib.inference.torch_network import TorchNetwork
from lib.profiling import throughput
from lib.profiling.throughput import Still, time_engine


@pytest.fixture
def network() -> TorchNetwork:
    experiment = tiny("grm")
    return network_of(fresh(experiment), experiment.template, experiment.search, experiment.test.tracker)


@pytest.mark.slow
def test_the_engine_and_the_tracker_before_it(network, tmp_path, monkeypatch):
    monkeypatch.setattr(throughput, "LEAST", 4)
    batches = []
    find = network.find

    def noted(state, crops):
        batches.append(len(crops))
        return find(state, crops)

    network.find = noted
    tracker, one, two = time_engine([("eager", network, 1), ("eager", network, 2)], 1, 1, tmp_path)
    assert [(row["form"], row["slots"]) for row in (tracker, one, two)] == [("eager", None), ("eager", 1), ("eager", 2)]
    assert all(row["frames/s"] > 0 for row in (tracker, one, two))
    # Twice: the tracker's sequence, one slot and two slots in the engine's two batches, full to the end.
    assert batches == 2 * (4 * [1] + 8 * [1] + 8 * [2])


@pytest.mark.parametrize("family", ["grm", "lorat", "transt"])
def test_targets_stay_where_they_are(family, toy_got10k):
    """For any answer of the network, with every way to cut a crop."""
    experiment = tiny(family)
    network = network_of(fresh(experiment), experiment.template, experiment.search, experiment.test.tracker)
    frames = sorted(toy_got10k.glob("val/*1/*.jpg"))[:10]
    box = np.array([30.0, 20.0, 24.0, 16.0])
    sequence = Sequence("still", "toy", frames, np.tile(box, (10, 1)), np.ones(10, dtype=bool))
    remaining = iter([sequence])
    [(_, track)] = Engine(Still(network, box, (72, 96)), 1).run(lambda: next(remaining, None))
    np.testing.assert_allclose(track.boxes, np.tile(box, (10, 1)), atol=0.01)
