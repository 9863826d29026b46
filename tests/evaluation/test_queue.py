"""Commands that share a folder, here as queues in one process, each with the claims of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lib.data.types import Sequence
from lib.evaluation.attempt import Failure, track_sequence
from lib.evaluation.claims import Claims
from lib.evaluation.queue import SequenceStatus, WorkQueue
from lib.evaluation.results import ResultsFolder, Track, open_results
from tests.evaluation.test_claims import forge
from tests.evaluation.toy_trackers import DriftingTracker

FAILURE = Failure("RuntimeError: no luck", "Traceback: no luck")


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    return open_results(tmp_path / "output", "toy", "got10k_val", None, {}, "cpu")


@pytest.fixture
def sequences(make_sequence: Callable[..., Sequence]) -> list[Sequence]:
    return [make_sequence(f"s{i}", frames=3 + i) for i in range(3)]


@pytest.fixture
def command(folder: ResultsFolder, sequences: list[Sequence]) -> Iterator[Callable[[], WorkQueue]]:
    """Starts a command's queue, a moment after what went before; its claims are released at the end of the test."""
    opened: list[Claims] = []

    def start() -> WorkQueue:
        time.sleep(0.02)  # more than the ticks by which files are dated
        opened.append(Claims(folder.path))
        queue = WorkQueue(sequences, folder, opened[-1])
        time.sleep(0.02)
        return queue

    yield start
    for claims in opened:
        with claims:
            pass


def tracked(sequence: Sequence) -> Track:
    return track_sequence(DriftingTracker(), sequence)


def words(queue: WorkQueue) -> dict[str, str]:
    return {name: status.status for name, status in sorted(queue.statuses.items())}


def test_two_commands_divide_the_sequences(command, folder, sequences) -> None:
    one, other = command(), command()
    first, second, third = one.take(), other.take(), one.take()
    assert [first, second, third] == sequences
    assert other.take() is None
    assert words(other) == {"s0": "elsewhere", "s2": "elsewhere"}
    assert other.statuses["s0"].reason.startswith(f"process {os.getpid()} on ")
    assert one.settle(first, tracked(first)) == SequenceStatus("s0", "tracked")
    other.settle(second, tracked(second))
    assert other.take() is None
    assert words(other) == {"s0": "kept", "s1": "tracked", "s2": "elsewhere"}
    assert (other.settled, other.settled_frames) == (2, 3 + 4)
    one.settle(third, tracked(third))
    assert one.take() is None
    assert words(one) == {"s0": "tracked", "s1": "kept", "s2": "tracked"}
    assert (one.open, one.settled, one.settled_frames) == ([], 3, 3 + 4 + 5)
    assert [path.name for path in folder.path.iterdir() if "claim" in path.name] == []


def test_what_is_finished_is_not_taken(command, sequences) -> None:
    one = command()
    while (sequence := one.take()) is not None:
        one.settle(sequence, tracked(sequence))
    later = command()
    assert later.take() is None
    assert words(later) == dict.fromkeys(("s0", "s1", "s2"), "kept")
    assert (later.settled, later.settled_frames) == (3, 0)


def test_a_failure_is_every_commands_that_was_there_and_tried_again_by_a_later_one(command, folder, sequences) -> None:
    one, other = command(), command()
    assert one.settle(one.take(), FAILURE) == SequenceStatus("s0", "failed", *FAILURE[:2])
    assert other.take() is sequences[1]
    assert words(other) == {"s0": "failed"}
    assert other.statuses["s0"] == SequenceStatus("s0", "failed", *FAILURE[:2])
    assert "s0: RuntimeError: no luck\nTraceback: no luck\n" in (folder.path / "failures.log").read_text()
    later = command()
    assert later.take() is sequences[0]
    later.settle(sequences[0], tracked(sequences[0]))
    assert folder.failure("s0") is None
    assert words(later) == {"s0": "tracked"}


def test_a_reason_that_says_all_needs_no_traceback(command) -> None:
    one, other = command(), command()
    status = one.settle(one.take(), FAILURE._replace(explained=True))
    assert status.traceback == ""
    other.take()
    assert other.statuses["s0"] == status


def test_a_command_that_slept_too_long_overwrites_nothing(command, folder, sequences) -> None:
    sleeper, other = command(), command()
    slow = sleeper.take()
    [claim] = sleeper._held.values()
    claim.path.write_text(claim.path.read_text().replace('"place": "', '"place": "elsewhere '))
    os.utime(claim.path, (0, 0))
    taken = next(sequence for sequence in iter(other.take, None) if sequence.name == slow.name)
    other.settle(taken, tracked(taken))
    before = folder.boxes(taken)
    late = tracked(slow)
    assert sleeper.settle(slow, Track(late.boxes + 1, *list(vars(late).values())[1:])).status == "elsewhere"
    np.testing.assert_array_equal(folder.boxes(taken), before)
    assert sleeper.take() is None
    assert words(sleeper)["s0"] == "kept"


def test_a_sequence_whose_commands_died_is_not_given_to_more_than_two(command, folder) -> None:
    """Each takes over from the one before; what died before a command began does not count for it."""
    queue = command()
    forge(folder.path, "s0")
    forge(folder.path, "later", token="later").rename(folder.path / "s0.claim.token-s0")
    assert queue.take().name == "s1"
    assert queue.take().name == "s2"
    assert queue.take() is None
    assert words(queue) == {"s0": "failed"}
    assert queue.statuses["s0"].reason.startswith("2 commands died while they tracked it: process ")
    forge(folder.path, "s0")
    forge(folder.path, "later", token="later").rename(folder.path / "s0.claim.token-s0")
    assert command().take().name == "s0"


def test_one_death_is_taken_over(command, folder, sequences) -> None:
    queue = command()
    forge(folder.path, "s0")
    assert [queue.take(), queue.take(), queue.take()] == [sequences[1], sequences[2], sequences[0]]
