"""Many sequences at once: equal to one at a time, in any order of ends and failures."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
import pytest
from eager_networks import network_of
from families import TWINS, fresh, tiny

from lib.data.decoding.images import read_image
from lib.data.types import Sequence
from lib.evaluation.benchmarks import read_benchmark
from lib.inference.engine import Engine, Failure, Track, failure_of
from lib.inference.torch_network import TorchNetwork
from lib.inference.tracker import Tracker

# In pixels of the image: what a batch may move a box by on the CPU in float32, over a whole sequence.
BATCH_BOUND = 1e-3


def network(family: str = "grm", *overrides: str, head: str | None = None) -> TorchNetwork:
    experiment = tiny(family, head, *overrides)
    return network_of(fresh(experiment), experiment.template, experiment.search, experiment.test.tracker)


@pytest.fixture(scope="module")
def sequences(toy_got10k: Path, cache: Path) -> list[Sequence]:
    """Six sequences of different lengths and first boxes, cut from two."""
    whole = list(read_benchmark("got10k_val", toy_got10k, cache).sequences)
    parts = [(first, end) for end in (12, 6, 9) for first in (0, 3)]
    return [
        replace(
            whole[number % 2],
            name=f"part{number}",
            frames=whole[number % 2].frames[first:end],
            boxes=whole[number % 2].boxes[first:end],
            visible=whole[number % 2].visible[first:end],
        )
        for number, (first, end) in enumerate(parts)
    ]


def run(engine: Engine, sequences: Iterable[Sequence], **options) -> dict[str, Track | Failure]:
    remaining = iter(sequences)
    return {sequence.name: outcome for sequence, outcome in engine.run(lambda: next(remaining, None), **options)}


def alone(net: TorchNetwork, sequence: Sequence) -> tuple[np.ndarray, np.ndarray]:
    tracker = Tracker(net)
    tracker.init(read_image(sequence.frames[0]), sequence.boxes[0])
    results = [tracker.update(read_image(frame)) for frame in sequence.frames[1:]]
    boxes = np.stack([sequence.boxes[0], *(result.box for result in results)])
    return boxes, np.array([1.0, *(result.score for result in results)])


@pytest.fixture(scope="module")
def tracked(sequences: list[Sequence]) -> Callable[[str, int], tuple[np.ndarray, np.ndarray]]:
    """``(family, number) -> boxes, scores``: what a tracker finds in a sequence, computed once for all tests."""

    @cache
    def track(family: str, number: int) -> tuple[np.ndarray, np.ndarray]:
        return alone(network(family), sequences[number])

    return track


def test_one_slot_equals_a_tracker_to_the_bit(sequences, tracked):
    tracks = run(Engine(network(), slots=1, threads=2), sequences[1:3])
    for number, sequence in enumerate(sequences[1:3], start=1):
        boxes, scores = tracked("grm", number)
        assert np.array_equal(tracks[sequence.name].boxes, boxes)
        assert np.array_equal(tracks[sequence.name].scores, scores)


@pytest.mark.slow
@pytest.mark.parametrize("family", TWINS)
def test_a_batch_equals_a_tracker_within_the_bound(family, sequences, tracked):
    """Also while sequences end at different frames and others take their rows."""
    tracks = run(Engine(network(family), slots=2, finders=2 if family == "grm" else 1), sequences)
    assert sorted(tracks) == sorted(sequence.name for sequence in sequences)
    for number, sequence in enumerate(sequences):
        boxes, scores = tracked(family, number)
        np.testing.assert_allclose(tracks[sequence.name].boxes, boxes, rtol=0, atol=BATCH_BOUND)
        np.testing.assert_allclose(tracks[sequence.name].scores, scores, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_rows_are_refilled_at_once_and_take_is_not_asked_again_after_none(sequences):
    asked, batches = [], []
    net = network()
    found = net.find
    remaining = iter(sequences)

    def take():
        asked.append(next(remaining, None))
        return asked[-1]

    def find(state, crops):
        batches.append(len(crops))
        return found(state, crops)

    net.find = find
    frames = []
    outcomes = list(Engine(net, slots=2, threads=2).run(take, frames.append))
    assert len(outcomes) == len(sequences)
    assert asked == [*sequences, None]
    # Four rows in two batches: the first four sequences begin, and a row is empty only after the last was given away.
    assert batches[: 2 * 8] == [2] * 16
    assert sum(batches) == sum(len(sequence) - 1 for sequence in sequences)
    assert len(batches) < sum(batches) and max(frames) <= sum(map(len, sequences))


@pytest.mark.slow
def test_what_fails_costs_its_own_sequence(sequences, tracked, tmp_path):
    torn = tmp_path / "torn.jpg"
    torn.write_bytes(Path(sequences[1].frames[4]).read_bytes()[:-300])
    damaged = replace(sequences[1], frames=(*sequences[1].frames[:4], torn, *sequences[1].frames[5:]))
    missing = replace(sequences[2], frames=(tmp_path / "absent.jpg", *sequences[2].frames[1:]))
    boxless = replace(sequences[3], boxes=np.full_like(sequences[3].boxes, np.nan))
    empty = replace(sequences[4], frames=())
    outcomes = run(Engine(network(), slots=2), [sequences[0], damaged, missing, boxless, empty, sequences[5]])
    for sequence, words in ((damaged, "torn.jpg"), (missing, "absent.jpg"), (boxless, "no size"), (empty, "no frames")):
        failure = outcomes[sequence.name]
        assert isinstance(failure, Failure) and words in failure.reason and failure.explained
        assert "Traceback" in failure.traceback
    for number in (0, 5):
        assert np.abs(outcomes[sequences[number].name].boxes - tracked("grm", number)[0]).max() <= BATCH_BOUND


def test_a_network_that_answers_nan_costs_the_sequence_it_answers(sequences):
    net = network()
    found = net.find

    def poisoned(state, crops):
        answer = found(state, crops)
        answer.boxes[0] = np.nan
        return answer

    net.find = poisoned
    outcomes = run(Engine(net, slots=2), sequences[:4])
    assert {type(outcome) for outcome in outcomes.values()} == {Failure}
    assert all("not finite" in outcome.reason for outcome in outcomes.values())


def test_what_the_network_raises_ends_the_run_and_no_thread_stays(sequences):
    net = network()

    def broken(state, crops):
        raise RuntimeError("out of memory")

    net.find = broken
    before = cv2.getNumThreads()
    with pytest.raises(RuntimeError, match="out of memory"):
        run(Engine(net, slots=2), sequences)
    assert cv2.getNumThreads() == before
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith(("look", "step"))] == []


@pytest.mark.parametrize(("most", "slots"), [(1, 1), (3, 1), (4, 2), (6, 2), (50, 8), (None, 8)])
def test_batches_have_no_more_slots_than_sequences_need(most, slots):
    """With two finders there are three batches."""
    assert Engine(network(), slots=8, finders=2, most=most).slots == slots


def test_a_sequence_of_one_frame_is_its_box(sequences):
    single = replace(sequences[0], frames=sequences[0].frames[:1], boxes=sequences[0].boxes[:1])
    track = run(Engine(network(), slots=2), [single])[single.name]
    assert np.array_equal(track.boxes, single.boxes) and track.scores.tolist() == [1.0]


@pytest.mark.slow
def test_another_template_can_be_shown(sequences, tracked):
    """As a baseline does: the box is the sequence's own, what is looked for is not."""
    net, (own, other) = network(), sequences[:2]
    foreign = run(Engine(net, slots=1, template_of=lambda _: (other.frames[0], other.boxes[0])), [own])[own.name]
    tracker = Tracker(net)
    tracker.init(read_image(other.frames[0]), other.boxes[0])
    state = tracker.state
    tracker.init(read_image(own.frames[0]), own.boxes[0])
    tracker.state = state
    expected = [tracker.update(read_image(frame)).box for frame in own.frames[1:]]
    assert np.array_equal(foreign.boxes, np.stack([own.boxes[0], *expected]))
    assert not np.array_equal(foreign.boxes, tracked("grm", 0)[0])


@pytest.mark.slow
def test_shares_of_time_add_up_to_no_more_than_passed(sequences):
    started = perf_counter()
    tracks = run(Engine(network(), slots=2), sequences).values()
    passed = perf_counter() - started
    assert sum(track.seconds.sum() for track in tracks) <= passed
    for track in tracks:
        assert track.seconds.shape == track.network_seconds.shape == track.scores.shape
        assert (track.network_seconds > 0).all()


def test_a_value_error_explains_itself_and_others_need_their_traceback():
    for error, reason, explained in (
        (ValueError("a.jpg: truncated;\n unpack it again"), "a.jpg: truncated; unpack it again", True),
        (RuntimeError("shapes differ"), "RuntimeError: shapes differ", False),
        (KeyError(), "KeyError: no message", False),
    ):
        try:
            raise error
        except Exception as caught:
            failure = failure_of(caught)
        assert (failure.reason, failure.explained) == (reason, explained)
        assert failure.traceback.startswith("Traceback") and type(error).__name__ in failure.traceback
