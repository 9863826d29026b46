"""The engine on CUDA beside a tracker on CUDA and one on the CPU, over whole sequences."""

from pathlib import Path

import numpy as np
import pytest
import torch
from families import TWINS, fresh, tiny

from lib.data.decoding.images import read_image
from lib.data.types import Sequence
from lib.evaluation.benchmarks import read_benchmark
from lib.inference.engine import Engine
from lib.inference.settings import TrackSettings
from lib.inference.torch_network import TorchNetwork
from lib.inference.tracker import Tracker

pytestmark = pytest.mark.gpu

# Pixels of the image that a box may be off by in a whole sequence: one target at a time, in a batch, on the CPU.
ALONE, BATCH, CPU = 1e-3, 0.1, 0.1


@pytest.fixture(scope="module")
def sequences(toy_got10k: Path, cache: Path) -> list[Sequence]:
    return list(read_benchmark("got10k_val", toy_got10k, cache).sequences)


def network(family: str, device: torch.device | str, **options) -> TorchNetwork:
    experiment = tiny(family)
    settings = TrackSettings(template=experiment.template, search=experiment.search, tracker=experiment.test.tracker)
    return TorchNetwork(fresh(experiment), settings, device, **options)


def alone(net: TorchNetwork, sequence: Sequence) -> np.ndarray:
    tracker = Tracker(net)
    tracker.init(read_image(sequence.frames[0]), sequence.boxes[0])
    return np.stack([sequence.boxes[0], *(tracker.update(read_image(frame)).box for frame in sequence.frames[1:])])


def together(net: TorchNetwork, slots: int, sequences: list[Sequence]) -> dict[str, np.ndarray]:
    remaining = iter(sequences)
    outcomes = Engine(net, slots).run(lambda: next(remaining, None))
    return {sequence.name: track.boxes for sequence, track in outcomes}


@pytest.mark.parametrize("family", TWINS)
def test_it_equals_trackers(device, family, sequences):
    net, cpu = network(family, device), network(family, "cpu")
    one, two = (together(net, slots, sequences) for slots in (1, 2))
    for sequence in sequences:
        boxes = alone(net, sequence)
        np.testing.assert_allclose(one[sequence.name], boxes, rtol=0, atol=ALONE)
        np.testing.assert_allclose(two[sequence.name], boxes, rtol=0, atol=BATCH)
        np.testing.assert_allclose(boxes, alone(cpu, sequence), rtol=0, atol=CPU)


@pytest.mark.parametrize("family", TWINS)
def test_captured_graphs_serve_it(cuda, family, sequences):
    captured, eager = network(family, cuda, captured=True), network(family, cuda)
    tracks = together(captured, 2, sequences)
    for sequence in sequences:
        np.testing.assert_allclose(tracks[sequence.name], alone(eager, sequence), rtol=0, atol=BATCH)
