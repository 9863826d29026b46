"""A run loses no more than the sequence that fails, does nothing twice, and several processes give what one gives."""

from __future__ import annotations

import errno
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lib.data.types import Sequence
from lib.evaluation.baselines import StaticTracker
from lib.evaluation.claims import Claims
from lib.evaluation.results import ResultsError, ResultsFolder, open_results, read_rows
from lib.evaluation.runner import run_benchmark
from lib.evaluation.workers import RunError
from lib.inference.tracker import TrackResult
from tests.evaluation.test_claims import forge
from tests.evaluation.toy_trackers import AccidentFactory, CountedFactory, DriftingTracker

MakeSequence = Callable[..., Sequence]


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    return open_results(tmp_path / "output", "toy", "got10k_val", None, {}, "cpu")


@pytest.fixture
def sequences(make_sequence: MakeSequence) -> list[Sequence]:
    return [make_sequence(f"s{i}", frames=3 + i, first=(10 + i, 12, 16, 14)) for i in range(4)]


def statuses(summary) -> list[str]:
    return [status.status for status in summary.sequences]


def await_(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


ROOT = Path(__file__).parents[2]
COMMAND = """
import pickle, sys
from pathlib import Path
from lib.evaluation.runner import run_benchmark
from lib.runtime.stop import terminated_like_interrupted
words = pickle.loads(Path(sys.argv[1]).read_bytes())
with terminated_like_interrupted():
    print(run_benchmark(**words).text())
"""


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """``start(**what run_benchmark takes)``: a command of its own, in a process group of its own."""

    def started(**words: object) -> subprocess.Popen[str]:
        job = tmp_path / f"job-{time.monotonic_ns()}"
        job.write_bytes(pickle.dumps(words))
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(job)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return started


def test_every_sequence_is_tracked_by_one_tracker(
    tmp_path: Path, folder: ResultsFolder, sequences: list[Sequence]
) -> None:
    summary = run_benchmark(sequences, CountedFactory(tmp_path), folder)
    assert statuses(summary) == ["tracked"] * 4
    assert len(list(tmp_path.glob("built-*"))) == 1
    for sequence in sequences:
        boxes = folder.boxes(sequence)
        np.testing.assert_array_equal(boxes[0], sequence.boxes[0])
        assert (np.diff(boxes, axis=0) > 0).all()
        scores = read_rows(folder.path / f"{sequence.name}_scores.txt", columns=1)[:, 0]
        np.testing.assert_allclose(np.diff(boxes, axis=0), np.repeat(scores[1:, None] / 1000, 4, axis=1))
        assert scores[0] == 1


def test_speeds_are_of_the_frames_after_the_first(folder: ResultsFolder, sequences: list[Sequence]) -> None:
    summary = run_benchmark(sequences, lambda number: DriftingTracker(), folder)
    times = [read_rows(folder.path / f"{sequence.name}_time.txt", columns=1)[1:, 0] for sequence in sequences]
    seconds = np.concatenate(times)
    assert summary.end_to_end.frames == len(seconds) == sum(map(len, sequences)) - len(sequences)
    assert summary.end_to_end.fps == pytest.approx(1 / seconds.mean())
    assert summary.end_to_end.median_ms == pytest.approx(1000 * np.median(seconds))
    assert summary.end_to_end.p95_ms == pytest.approx(1000 * np.percentile(seconds, 95))
    assert (summary.network.fps, summary.network.median_ms) == pytest.approx((1000, 1))
    assert "end to end" in summary.text()
    assert "1000.0 frames/s" in summary.text()


def test_a_tracker_without_a_network_has_no_network_speed(folder: ResultsFolder, sequences: list[Sequence]) -> None:
    summary = run_benchmark(sequences, lambda number: StaticTracker(), folder)
    assert summary.network is None
    assert "network" not in summary.text()


def test_what_is_finished_is_kept_and_what_is_damaged_is_tracked_again(
    tmp_path: Path, folder: ResultsFolder, sequences: list[Sequence]
) -> None:
    run_benchmark(sequences[:3], CountedFactory(tmp_path), folder)
    whole = (folder.path / "s1.txt").read_bytes()
    (folder.path / "s1.txt").write_bytes(whole[:40])
    written = (folder.path / "s0.txt").stat().st_mtime_ns
    summary = run_benchmark(sequences, CountedFactory(tmp_path), folder)
    assert statuses(summary) == ["kept", "tracked", "kept", "tracked"]
    assert (folder.path / "s1.txt").read_bytes() == whole
    assert (folder.path / "s0.txt").stat().st_mtime_ns == written


def test_when_all_is_finished_no_tracker_is_built(folder: ResultsFolder, sequences: list[Sequence]) -> None:
    run_benchmark(sequences, lambda number: StaticTracker(), folder)
    summary = run_benchmark(sequences, lambda number: pytest.fail("built"), folder, processes=3)
    assert statuses(summary) == ["kept"] * 4
    assert summary.end_to_end is None
    assert summary.text() == "sequences: 0 tracked, 4 kept, 0 failed"


def test_a_failing_sequence_loses_only_itself(folder: ResultsFolder, sequences: list[Sequence]) -> None:
    sequences[0].frames[1].write_bytes(b"no image")
    sequences[2] = replace(sequences[2], boxes=np.array([[10.0, 10, 0, 5]]))
    sequences.append(replace(sequences[3], name="s4", frames=()))

    class Strict(StaticTracker):
        def init(self, image: np.ndarray, box: np.ndarray) -> None:
            super().init(image, box)
            if box[2] == 0:
                raise RuntimeError("two\nlines")

    summary = run_benchmark(sequences, lambda number: Strict(), folder)
    assert statuses(summary) == ["failed", "tracked", "failed", "tracked", "failed"]
    assert [status.name for status in summary.failed] == ["s0", "s2", "s4"]
    assert str(sequences[0].frames[1]) in summary.failed[0].reason
    assert summary.failed[1].reason == "RuntimeError: two lines"
    lines = summary.text().splitlines()
    assert "FAILED s2: RuntimeError: two lines" in lines
    assert [line for line in lines if line.startswith("of ")] == ["of s2:"]
    assert "    Traceback (most recent call last):" in lines
    assert not folder.is_finished(sequences[0])
    log = (folder.path / "failures.log").read_text()
    for name in ("s0", "s2", "s4"):
        assert f" {name}: " in log
    assert log.count("Traceback (most recent call last)") >= 3


def test_ctrl_c_keeps_what_is_finished(folder: ResultsFolder, sequences: list[Sequence]) -> None:
    class Interrupted(StaticTracker):
        def update(self, image: np.ndarray) -> TrackResult:
            if self._box[0] == sequences[2].boxes[0, 0]:
                raise KeyboardInterrupt
            return super().update(image)

    with pytest.raises(KeyboardInterrupt):
        run_benchmark(sequences, lambda number: Interrupted(), folder)
    summary = run_benchmark(sequences, lambda number: StaticTracker(), folder)
    assert statuses(summary) == ["kept", "kept", "tracked", "tracked"]


def test_a_disk_that_refuses_ends_the_run(
    folder: ResultsFolder, sequences: list[Sequence], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResultsError, match="No space left"):
        run_benchmark(sequences, lambda number: StaticTracker(), folder)


def test_a_tracker_that_cannot_be_built_is_the_factorys_own_error(
    tmp_path: Path, folder: ResultsFolder, sequences: list[Sequence]
) -> None:
    with pytest.raises(ValueError, match="weights.pth: no such checkpoint"):
        run_benchmark(sequences, CountedFactory(tmp_path, refuses=0), folder)


@pytest.mark.slow
def test_processes_give_what_one_gives_and_a_dead_one_loses_only_its_sequence(
    tmp_path: Path, folder: ResultsFolder, sequences: list[Sequence], make_sequence: MakeSequence
) -> None:
    alone = open_results(tmp_path / "output", "toy", "got10k_val", None, {}, "cpu", label="alone")
    run_benchmark(sequences, lambda number: DriftingTracker(), alone)
    deadly = make_sequence("deadly", first=(66, 12, 5, 5))
    sequences[1].frames[0].write_bytes(b"no image")
    summary = run_benchmark([deadly, *sequences], CountedFactory(tmp_path), folder, processes=2)
    assert statuses(summary) == ["failed", "tracked", "failed", "tracked", "tracked"]
    assert "ended with exit code 7 at frame 1 of 4" in summary.failed[0].reason
    assert "s1" in summary.failed[1].reason
    for sequence in (sequences[0], *sequences[2:]):
        np.testing.assert_array_equal(folder.boxes(sequence), alone.boxes(sequence))


@pytest.mark.slow
def test_a_process_that_cannot_build_its_tracker_ends_the_run(
    tmp_path: Path, folder: ResultsFolder, sequences: list[Sequence], make_sequence: MakeSequence
) -> None:
    endless = make_sequence("endless", first=(72, 12, 5, 5))
    with pytest.raises(RunError, match="process 1 could not build its tracker: weights.pth: no such"):
        run_benchmark([endless, *sequences], CountedFactory(tmp_path, refuses=1), folder, processes=2)


@pytest.mark.slow
def test_ctrl_c_ends_all_processes_and_keeps_what_is_finished(
    tmp_path: Path, folder: ResultsFolder, make_sequence: MakeSequence
) -> None:
    quick = [make_sequence(f"quick{i}") for i in range(2)]
    endless = [make_sequence(f"endless{i}", frames=3, first=(72, 12, 5, 5)) for i in range(3)]
    (tmp_path / "job").write_bytes(pickle.dumps(([*quick, *endless], CountedFactory(tmp_path), folder)))
    program = (
        "import pickle, sys; from pathlib import Path; from lib.evaluation.runner import run_benchmark\n"
        "run_benchmark(*pickle.loads(Path(sys.argv[1]).read_bytes()), processes=2)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "job")]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True, start_new_session=True) as run:
        await_(lambda: all(folder.is_finished(sequence) for sequence in quick))
        assert len(list(folder.path.glob("endless*.claim"))) >= 1
        os.killpg(run.pid, signal.SIGINT)
        _, errors = run.communicate(timeout=30)
    assert run.returncode in (-signal.SIGINT, 130)
    assert errors.count("Traceback (most recent call last)") == 1
    assert [folder.is_finished(sequence) for sequence in (*quick, *endless)] == [True] * 2 + [False] * 3
    assert list(folder.path.glob("*.claim*")) == []
    with pytest.raises(ProcessLookupError):
        for _ in range(50):  # Python's own resource tracker ends a moment after its parent
            os.killpg(run.pid, 0)
            time.sleep(0.1)


# Other commands


def test_sequences_in_the_hands_of_others_are_left_to_them(folder: ResultsFolder, sequences: list[Sequence]) -> None:
    with Claims(folder.path) as others:
        others.take("s1")
        summary = run_benchmark(sequences, lambda number: DriftingTracker(), folder)
    assert statuses(summary) == ["tracked", "elsewhere", "tracked", "tracked"]
    assert not summary.failed
    lines = summary.text().splitlines()
    assert lines[0] == "sequences: 3 tracked, 0 kept, 0 failed, 1 in the hands of other commands"
    assert any(line.startswith(f"elsewhere s1: process {os.getpid()} on ") for line in lines)
    assert not folder.is_finished(sequences[1])
    assert statuses(run_benchmark(sequences, lambda number: DriftingTracker(), folder)) == [
        "kept", "tracked", "kept", "kept",
    ]  # fmt: skip


@pytest.mark.parametrize("waits", ["asked", "after a failure"])
def test_a_command_that_waits_tracks_what_others_let_go(
    folder: ResultsFolder, sequences: list[Sequence], monkeypatch: pytest.MonkeyPatch, waits: str
) -> None:
    """As a launcher would end the other commands, one that failed ends last."""
    unreadable = {"s9": "s9: no images; unpack it again"} if waits == "after a failure" else {}
    if unreadable:
        sequences[0].frames[0].write_bytes(b"no image")
    with Claims(folder.path) as others:
        claim = others.take("s1")

        def let_go(seconds: float) -> None:
            assert [folder.is_finished(sequence) for sequence in sequences[1:]] == [False, True, True]
            others.release(claim)

        monkeypatch.setattr("lib.evaluation.runner.sleep", let_go)
        summary = run_benchmark(
            sequences, lambda number: DriftingTracker(), folder, unreadable=unreadable, wait=not unreadable
        )
    assert statuses(summary)[1:] == ["tracked"] * 3 + ["failed"] * len(unreadable)


def test_what_could_not_be_read_is_among_the_failures(folder: ResultsFolder, sequences: list[Sequence]) -> None:
    summary = run_benchmark(
        sequences, lambda number: DriftingTracker(), folder, unreadable={"s9": "s9: no images; unpack it again"}
    )
    assert statuses(summary) == ["tracked"] * 4 + ["failed"]
    assert summary.text().splitlines()[0] == "sequences: 4 tracked, 0 kept, 1 failed"
    assert summary.text().splitlines()[-1] == "FAILED s9: s9: no images; unpack it again"
    assert " s9: s9: no images" in (folder.path / "failures.log").read_text()


def test_numbers_are_shared_out_among_the_commands_of_a_machine(
    tmp_path: Path, folder: ResultsFolder, sequences: list[Sequence]
) -> None:
    numbers = []

    class Nested(DriftingTracker):
        """Has another command begin while it is at work."""

        def update(self, image: np.ndarray) -> TrackResult:
            if len(numbers) < 3:
                run_benchmark(sequences, make, folder)
            return super().update(image)

    def make(number: int) -> DriftingTracker:
        numbers.append(number)
        return Nested()

    assert statuses(run_benchmark(sequences, make, folder)) == ["tracked", "kept", "kept", "kept"]
    assert numbers == [0, 1, 2]
    forge(folder.path, f"process-0-of-{os.uname().nodename}")
    (folder.path / "s1.txt").unlink()
    run_benchmark(sequences, make, folder)
    assert numbers[3:] == [0]
    assert list(folder.path.glob("*.claim*")) == []


@pytest.mark.slow
def test_two_commands_give_what_one_gives_and_track_nothing_twice(
    tmp_path: Path, folder: ResultsFolder, make_sequence: MakeSequence, start: Callable[..., subprocess.Popen[str]]
) -> None:
    sequences = [make_sequence(f"s{i:02d}", first=(10 + i, 12, 16, 9)) for i in range(24)]
    failing = make_sequence("failing", first=(50, 12, 16, 8))
    alone = open_results(tmp_path / "output", "toy", "got10k_val", None, {}, "cpu", label="alone")
    run_benchmark(sequences, lambda number: DriftingTracker(), alone)
    # Without waiting, the one that finds nothing left to take may end before the other's last sequence has failed.
    words = {"make_tracker": AccidentFactory(tmp_path), "folder": folder, "processes": 1, "wait": True}
    commands = [start(sequences=[*sequences, failing], **words) for _ in range(2)]
    outputs = [command.communicate(timeout=120) for command in commands]
    for out, err in outputs:
        assert "FAILED failing: RuntimeError: two lines" in out, err
        assert "Traceback" not in err
    began = [path.read_text().split() for path in tmp_path.glob("process-*")]
    assert len(began) == 2  # both had some
    assert sorted(int(x) for lines in began for x in lines[1::2]) == [*range(10, 34), 50]
    assert {number for lines in began for number in lines[::2]} == {"0", "1"}
    for sequence in sequences:
        np.testing.assert_array_equal(folder.boxes(sequence), alone.boxes(sequence))
    counts = [list(map(int, re.findall(r"(\d+) (?:tracked|kept|failed)", out))) for out, _ in outputs]
    assert [sum(count) for count in counts] == [25, 25]  # each waited for the other
    assert counts[0][0] + counts[1][0] == 24
    assert list(folder.path.glob("*.claim*")) == []


@pytest.mark.slow
@pytest.mark.parametrize(("number", "processes", "left"), [
    (signal.SIGKILL, 0, True),
    (signal.SIGKILL, 1, True),
    (signal.SIGTERM, 1, False),
])  # fmt: skip
def test_a_command_that_is_killed_leaves_nothing_that_the_next_one_would_wait_for(
    tmp_path: Path,
    folder: ResultsFolder,
    make_sequence: MakeSequence,
    start: Callable[..., subprocess.Popen[str]],
    number: signal.Signals,
    processes: int,
    left: bool,
) -> None:
    quick, endless = make_sequence("quick"), make_sequence("endless", frames=3, first=(72, 12, 5, 5))
    claim = folder.path / "endless.claim"
    words = {"sequences": [quick, endless], "make_tracker": CountedFactory(tmp_path), "processes": processes}
    with start(folder=folder, **words) as command:
        await_(lambda: claim.exists() and folder.is_finished(quick))
        command.send_signal(number)
    assert claim.exists() == left
    assert statuses(run_benchmark([quick, endless], lambda number: StaticTracker(), folder)) == ["kept", "tracked"]
    assert list(folder.path.glob("*.claim*")) == []
