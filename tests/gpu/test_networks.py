"""Every family and head on CUDA finds what it finds on the CPU, in reduced precisions, compiled and captured too."""

import numpy as np
import pytest
import torch
from families import COVERING_PAIRS, TWINS, fresh, tiny

from lib.inference.network import Found
from lib.inference.settings import TrackSettings
from lib.inference.torch_network import TorchNetwork
from lib.models.heads.registry import HeadKind

pytestmark = pytest.mark.gpu

ROWS = 3
# Of boxes, in fractions of the crop, and of scores.
FP32, TF32, CAPTURED = 1e-4, 2e-2, 1e-5
# How much further from fp32 a reduced precision may be on the device than on the CPU, on average.
FACTOR, FLOOR = 3, 1e-3


def network(family: str, device: torch.device | str, head: HeadKind | None = None, **options) -> TorchNetwork:
    experiment = tiny(family, head)
    settings = TrackSettings(template=experiment.template, search=experiment.search, tracker=experiment.test.tracker)
    return TorchNetwork(fresh(experiment), settings, device, **options)


def crops(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (ROWS, size, size, 3), dtype=np.uint8)


def find(net: TorchNetwork, seed: int = 1) -> Found:
    boxes = np.tile(np.array([[0.3, 0.3, 0.4, 0.4]], np.float32), (ROWS, 1))
    state = net.encode(crops(net.settings.template.size, 0), boxes)
    return net.find(state, crops(net.settings.search.size, seed))


def candidates(found: Found) -> tuple[np.ndarray, np.ndarray]:
    """All boxes and scores."""
    return tuple(value.float().cpu().numpy() for value in found.prediction[:2])


def assert_close(found: Found, expected: Found, bound: float) -> None:
    for ours, theirs in zip(candidates(found), candidates(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=bound)


@pytest.mark.parametrize(("family", "head"), COVERING_PAIRS)
def test_candidates_and_their_choice_equal_the_cpus(device, family, head):
    own, cpu = network(family, device, head), network(family, "cpu", head)
    found, expected = find(own), find(cpu)
    assert_close(found, expected, FP32)
    boxes, scores = candidates(found)
    for row, cell in enumerate(found.cells):
        assert found.boxes[row].tolist() == boxes[row, cell].tolist()
        assert found.scores[row] == scores[row, cell]
    # The same candidates, chosen from on either device.
    there = type(found.prediction)(*(value.cpu() for value in found.prediction[:2]), *found.prediction[2:])
    assert torch.equal(cpu.find_graph.choose(there)[:, 5], torch.from_numpy(found.cells).float())


@pytest.mark.parametrize("family", TWINS)
def test_as_torch_rounds_convolutions_by_default(device, family):
    torch.backends.cudnn.allow_tf32 = True
    assert_close(find(network(family, device)), find(network(family, "cpu")), TF32)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("family", TWINS)
def test_reduced_precisions_are_as_near_to_fp32_as_on_the_cpu(device, family, precision):
    exact = candidates(find(network(family, "cpu")))

    def distances(place: torch.device | str) -> list[float]:
        rounded = candidates(find(network(family, place, precision=precision)))
        return [float(np.abs(ours - theirs).mean()) for ours, theirs in zip(rounded, exact, strict=True)]

    for own, cpu in zip(distances(device), distances("cpu"), strict=True):
        assert own <= FACTOR * cpu + FLOOR


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("family", TWINS)
def test_a_captured_network_finds_what_the_eager_one_finds(cuda, family, precision):
    """Also in the second crops, and with fewer rows than the state has."""
    eager, captured = (network(family, cuda, precision=precision, captured=flag) for flag in (False, True))
    for seed in (1, 2, 1):
        found, expected = find(captured, seed), find(eager, seed)
        np.testing.assert_allclose(found.boxes, expected.boxes, rtol=0, atol=CAPTURED)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=CAPTURED)
        assert found.cells.tolist() == expected.cells.tolist()
    boxes = np.tile(np.array([[0.3, 0.3, 0.4, 0.4]], np.float32), (ROWS, 1))
    state = captured.encode(crops(captured.settings.template.size, 0), boxes)
    few = captured.find(state, crops(captured.settings.search.size, 1)[:1])
    np.testing.assert_allclose(few.boxes, find(eager).boxes[:1], rtol=0, atol=CAPTURED)


@pytest.mark.parametrize("family", TWINS)
def test_a_compiled_network_finds_what_the_eager_one_finds(cuda, family):
    found, expected = find(network(family, cuda, compiled=True)), find(network(family, cuda))
    np.testing.assert_allclose(found.boxes, expected.boxes, rtol=0, atol=FP32)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=FP32)
