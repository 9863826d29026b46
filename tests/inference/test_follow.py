"""Several targets of one video: equal to as many trackers, each from its own frame on."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from eager_networks import network_of
from families import fresh, tiny

from lib.data.decoding.images import read_image
from lib.data.decoding.video import Frame
from lib.data.types import Sequence
from lib.evaluation.benchmarks import read_benchmark
from lib.inference.follow import TargetSpec, follow
from lib.inference.torch_network import TorchNetwork
from lib.inference.tracker import Tracker

# In pixels of the image: what a batch may move a box by on the CPU in float32, over a whole sequence.
BATCH_BOUND = 1e-3


def network() -> TorchNetwork:
    experiment = tiny("grm")
    return network_of(fresh(experiment), experiment.template, experiment.search, experiment.test.tracker)


@pytest.fixture(scope="module")
def sequence(toy_got10k: Path, cache: Path) -> Sequence:
    return read_benchmark("got10k_val", toy_got10k, cache).sequences[0]


@pytest.fixture(scope="module")
def frames(sequence: Sequence) -> list[np.ndarray]:
    return [read_image(frame) for frame in sequence.frames[:10]]


def test_one_target_equals_a_tracker_to_the_bit(sequence: Sequence, frames: list[np.ndarray]):
    net, box = network(), sequence.boxes[0]
    tracker = Tracker(net)
    tracker.init(frames[0], box)
    steps = list(follow(iter(frames), [TargetSpec("car", box)], net))
    assert np.array_equal(steps[0].results["car"].box, box) and steps[0].results["car"].score == 1
    for step, frame in zip(steps[1:], frames[1:], strict=True):
        expected, result = tracker.update(frame), step.results["car"]
        assert np.array_equal(result.box, expected.box) and result.score == expected.score
        assert not result.lost and step.image is frame
        assert step.views == {"car": result.view}


def test_each_target_equals_a_tracker_from_its_frame_on(sequence: Sequence, frames: list[np.ndarray]):
    net, box = network(), sequence.boxes[0]
    late, third = TargetSpec("late", box + [8, 4, 0, 0], 6), TargetSpec("third", box + [-6, 2, 5, 3], 3)
    specs = [late, TargetSpec("first", box), third]
    steps = list(follow(iter(frames), specs, net))
    assert [step.number for step in steps] == list(range(10))
    names = [list(step.results) for step in steps]
    assert names == 3 * [["first"]] + 3 * [["first", "third"]] + 4 * [["late", "first", "third"]]
    assert [len(step.views) for step in steps] == [0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert steps[9].results["first"].found.boxes.shape[0] == 3
    for spec in specs:
        tracker = Tracker(net)
        tracker.init(frames[spec.frame], spec.box)
        assert np.array_equal(steps[spec.frame].results[spec.name].box, spec.box)
        for step, frame in zip(steps[spec.frame + 1 :], frames[spec.frame + 1 :], strict=True):
            expected = tracker.update(frame).box
            np.testing.assert_allclose(step.results[spec.name].box, expected, rtol=0, atol=BATCH_BOUND)


def test_a_target_begins_in_the_first_frame_that_is_not_before_its_own(sequence: Sequence, frames: list[np.ndarray]):
    """A live source leaves frames out; numbers and times are the source's."""
    shown = [Frame(number, number / 10, frames[number]) for number in (0, 2, 5, 6)]
    spec = TargetSpec("car", sequence.boxes[0], 3)
    steps = list(follow(shown, [spec], network()))
    assert [(step.number, step.time, list(step.results)) for step in steps] == [
        (0, 0.0, []), (2, 0.2, []), (5, 0.5, ["car"]), (6, 0.6, ["car"]),
    ]  # fmt: skip


def test_frames_are_asked_for_one_by_one(sequence: Sequence, frames: list[np.ndarray]):
    """So memory is that of one frame, and a live source is never behind."""
    asked: list[int] = []

    def source():
        for number, frame in enumerate(frames):
            asked.append(number)
            yield frame

    for step in follow(source(), [TargetSpec("car", sequence.boxes[0])], network()):
        assert asked[-1] == step.number


def test_wrong_targets_are_refused_before_the_first_step(sequence: Sequence, frames: list[np.ndarray]):
    net, box = network(), sequence.boxes[0]
    for specs, message in (
        ([], "no target to follow; name one or more"),
        ([TargetSpec("car", box), TargetSpec("car", box)], "2 targets are named car; give each another name"),
        (
            [TargetSpec("a", box), TargetSpec("b", (500, 5, 9, 9), 7)],
            r"target b: the first box .* lies outside the image of 96 x 72 pixels; a box is x,y,w,h",
        ),
        ([TargetSpec("a", (5, 5, 0, 9))], "target a: the first box .* has no size"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            next(follow(iter(frames), specs, net))
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="not NoneType"):  # as cv2.imread answers for a missing file
        next(follow([None], [TargetSpec("car", box)], net))


def test_results_become_detections_of_supervision(
    sequence: Sequence, frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    """The library need not be installed: its class is a record of these fields."""
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=SimpleNamespace))
    box = sequence.boxes[0]
    step = list(follow(frames[:2], [TargetSpec("car", box), TargetSpec("dog", box + 1)], network()))[1]
    lost = step._replace(results={**step.results, "car": step.results["car"].__class__(box, 0.1, lost=True)})
    for shown, names, ids in ((step, ["car", "dog"], [0, 1]), (lost, ["dog"], [1])):
        detections = shown.to_supervision()
        assert detections.data["name"].tolist() == names and detections.tracker_id.tolist() == ids
        for row, name in enumerate(names):
            x, y, w, h = shown.results[name].box
            assert detections.xyxy[row].tolist() == [x, y, x + w, y + h]
            assert detections.confidence[row] == shown.results[name].score
