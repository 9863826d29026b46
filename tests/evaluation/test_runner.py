"""A dead process costs a run only its current sequences; nothing is tracked twice, and processes give equal results."""

import errno
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lib.data.types import Sequence
from lib.evaluation.benchmarks import Readable
from lib.evaluation.results.folder import ResultsFolder, open_results
from lib.evaluation.running import runner as module
from lib.evaluation.running.baselines import StaticEngine
from lib.evaluation.running.claims import Claims
from lib.evaluation.running.progress import RunProgress
from lib.evaluation.running.runner import Trial, run_trials
from lib.evaluation.running.summary import RunSummary
from lib.inference.engine import Failure
from tests.evaluation.test_claims import forge
from tests.evaluation.toy_trackers import ToyEngine

MakeSequence = Callable[..., Sequence]


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    return open_results(tmp_path / "output", "toy", "got10k_val", None, {}, "cpu")


@pytest.fixture
def alone(tmp_path: Path) -> ResultsFolder:
    """Another folder, for what one process gives."""
    return open_results(tmp_path / "output", "toy", "got10k_val", None, {}, "cpu", label="alone")


@pytest.fixture
def sequences(make_sequence: MakeSequence) -> list[Sequence]:
    return [make_sequence(f"s{i}", frames=3 + i, first=(10 + i, 12, 16, 14)) for i in range(4)]


def run(
    sequences: list[Sequence],
    engine: Callable[[int], object],
    folder: ResultsFolder,
    unreadable: dict[str, str] | None = None,
) -> RunSummary:
    [summary] = run_trials(Readable(sequences, unreadable or {}), [Trial(engine, folder)]).summaries
    return summary


def statuses(summary: RunSummary) -> list[str]:
    return [status.status for status in summary.sequences]


def begun(folder: Path) -> list[list[str]]:
    """What each process noted."""
    return [path.read_text().split() for path in sorted(folder.glob("process-*"))]


def leftovers(folder: ResultsFolder) -> list[str]:
    """What no run may leave."""
    return [path.name for path in folder.path.iterdir() if path.suffix in (".claim", ".tmp") or path.name[0] == "."]


# In this process


def test_a_name_too_long_for_the_disk_costs_that_sequence_alone(
    folder: ResultsFolder, sequences: list[Sequence]
) -> None:
    long = replace(sequences[1], name="s" * 250)
    summary = run([sequences[0], long, *sequences[2:]], lambda most: StaticEngine(), folder)
    assert statuses(summary) == ["tracked"] * 3 + ["failed"]
    [failed] = summary.failed
    assert failed.name == long.name and failed.reason.startswith("its name has 250 bytes, too many for files of")
    assert "s" * 250 in (folder.path / "failures.log").read_text()
    assert leftovers(folder) == [] and not list(folder.path.glob("*.failed"))


def test_names_that_are_not_utf8_have_line_breaks_or_equal_our_own_files(
    tmp_path: Path, folder: ResultsFolder, sequences: list[Sequence], make_sequence: MakeSequence
) -> None:
    names = ["\udcd0\udcd0", "a\nb", "\x1b[31m", "manifest.json"]
    renamed = [replace(sequence, name=name) for sequence, name in zip(sequences, names, strict=True)]
    for status in ("tracked", "kept"):
        assert statuses(run(renamed, lambda most: StaticEngine(), folder)) == [status] * 4
    failing = make_sequence("failures.log", first=(10, 12, 16, 5))
    text = run([failing], ToyEngine(tmp_path), folder, unreadable={"a\nb": "\x1b: no\nimages"}).text()
    assert [line for line in text.splitlines() if "FAILED" in line][1:] == [r"FAILED a\nb: \x1b: no\nimages"]
    assert leftovers(folder) == []


@pytest.mark.parametrize("slots", [1, 3])
def test_every_sequence_is_tracked_by_one_engine_the_longest_first(
    tmp_path: Path, folder: ResultsFolder, sequences: list[Sequence], slots: int
) -> None:
    summary = run(sequences, ToyEngine(tmp_path, slots), folder)
    assert statuses(summary) == ["tracked"] * 4
    assert begun(tmp_path) == [["most=4", "s3", "s2", "s1", "s0"]]
    for sequence in sequences:
        boxes = folder.boxes(sequence)
        np.testing.assert_array_equal(boxes[0], sequence.boxes[0])
        scores = np.loadtxt(folder.path / f"{sequence.name}_scores.txt")
        np.testing.assert_allclose(np.diff(boxes, axis=0), np.repeat(scores[1:, None] / 1000, 4, axis=1))
        assert scores[0] == 1
    assert leftovers(folder) == []


def test_speeds_are_of_the_frames_after_the_first(
    tmp_path: Path, folder: ResultsFolder, sequences: list[Sequence]
) -> None:
    report = run_trials(Readable(sequences, {}), [Trial(ToyEngine(tmp_path), folder)])
    [summary] = report.summaries
    assert summary.text().splitlines()[1:] == [
        "end to end: 500.0 frames/s, median 2.0 ms, p95 2.0 ms (14 frames)",
        "network:    1000.0 frames/s, median 1.0 ms, p95 1.0 ms (14 frames)",
    ]
    assert report.text() == f"1 process(es) together, start included: {14 / report.seconds:.1f} frames/s"


def test_finished_sequences_are_kept_and_damaged_ones_tracked_again(
    tmp_path: Path, folder: ResultsFolder, sequences: list[Sequence], caplog: pytest.LogCaptureFixture
) -> None:
    run(sequences[:3], ToyEngine(tmp_path), folder)
    whole = (folder.path / "s1.txt").read_bytes()
    (folder.path / "s1.txt").write_bytes(whole[:40])
    written = (folder.path / "s0.txt").stat().st_mtime_ns
    assert statuses(run(sequences, ToyEngine(tmp_path), folder)) == ["kept", "tracked", "kept", "tracked"]
    assert [message for message in caplog.messages if "again" in message][0].startswith("tracking s1 again: ")
    assert begun(tmp_path)[0][-3:] == ["most=2", "s3", "s1"], "of the two that were open"
    assert (folder.path / "s1.txt").read_bytes() == whole
    assert (folder.path / "s0.txt").stat().st_mtime_ns == written


def test_the_leftovers_of_a_process_killed_after_it_had_written_a_result_are_removed(
    folder: ResultsFolder, sequences: list[Sequence]
) -> None:
    run(sequences, lambda most: StaticEngine(), folder)
    forge(folder.path, "s1")
    folder.note_failure("s1", Failure("an earlier one", ""))
    with Claims(folder.path) as claims:
        claims.take("s2")
        assert statuses(run(sequences, lambda most: StaticEngine(), folder)) == ["kept"] * 4
        assert [file.name for file in folder.path.glob("*.claim")] == ["s2.claim"], "its process lives"
    assert leftovers(folder) == [] and folder.failure("s1") is None


def test_when_all_is_finished_no_network_is_built(folder: ResultsFolder, sequences: list[Sequence]) -> None:
    run(sequences, lambda most: StaticEngine(), folder)
    report = run_trials(Readable(sequences, {}), [Trial(lambda most: pytest.fail("built"), folder)], processes=3)
    assert report.summaries[0].text() == "sequences: 0 tracked, 4 kept, 0 failed"


def test_a_failing_sequence_loses_only_itself(
    tmp_path: Path, folder: ResultsFolder, sequences: list[Sequence], make_sequence: MakeSequence
) -> None:
    sequences[0].frames[1].write_bytes(b"no image")
    sequences += [make_sequence(name, first=(10, 12, 16, 6)) for name in ("odd", "other")]
    summary = run(sequences, ToyEngine(tmp_path, slots=2), folder, unreadable={"s9": "s9: no images"})
    assert statuses(summary) == ["failed", "tracked", "tracked", "tracked", *["failed"] * 3]
    assert str(sequences[0].frames[1]) in summary.failed[0].reason
    lines = summary.text().splitlines()
    assert lines[0] == "sequences: 3 tracked, 0 kept, 4 failed"
    assert "FAILED odd: KeyError: 'two\\nlines'" in lines and "FAILED s9: s9: no images" in lines
    assert [line for line in lines if line.startswith("of ")] == ["of odd, other:"], "one traceback for both"
    assert "    Traceback (most recent call last):" in lines
    assert not folder.is_finished(sequences[0])
    log = (folder.path / "failures.log").read_text()
    assert all(f" {name}: " in log for name in ("s0", "odd", "other", "s9"))
    assert log.count("Traceback (most recent call last)") >= 3
    assert leftovers(folder) == []


def test_an_error_of_the_network_ends_the_run_and_frees_the_sequences(
    tmp_path: Path, folder: ResultsFolder, sequences: list[Sequence], make_sequence: MakeSequence
) -> None:
    culprit = make_sequence("c", frames=9, first=(10, 12, 16, 8))
    run(sequences[:2], ToyEngine(tmp_path), folder)
    with pytest.raises(RuntimeError, match="two\nlines"):
        run([*sequences, culprit], ToyEngine(tmp_path, slots=3), folder)
    assert leftovers(folder) == []
    assert statuses(run(sequences, ToyEngine(tmp_path), folder)) == ["kept", "kept", "tracked", "tracked"]


def test_ctrl_c_keeps_finished_sequences(
    tmp_path: Path, folder: ResultsFolder, sequences: list[Sequence], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(ToyEngine):
        def run(self, take, show) -> Iterator:
            outcomes = super().run(take, show)
            yield next(outcomes)
            yield next(outcomes)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(sequences, Interrupted(tmp_path), folder)
    assert leftovers(folder) == []
    assert statuses(run(sequences, ToyEngine(tmp_path), folder)) == ["tracked", "tracked", "kept", "kept"]


def test_a_disk_that_refuses_ends_the_run(
    tmp_path: Path, folder: ResultsFolder, sequences: list[Sequence], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        run(sequences, ToyEngine(tmp_path), folder)
    assert leftovers(folder) == []


def test_a_network_that_cannot_be_built_is_its_own_error(folder: ResultsFolder, sequences: list[Sequence]) -> None:
    def refuse(rows: int) -> ToyEngine:
        raise ValueError("weights.pth: no such checkpoint")

    with pytest.raises(ValueError, match="weights.pth: no such checkpoint"):
        run(sequences, refuse, folder)
    assert leftovers(folder) == []


@pytest.mark.parametrize(("variables", "shares"), [
    ({"WORLD_SIZE": "1"}, 1),
    ({"WORLD_SIZE": "3"}, 2 * 3),
    ({"SLURM_NTASKS": "2"}, 2 * 2),
])  # fmt: skip
def test_a_command_among_others_leaves_them_some(
    tmp_path: Path, folder: ResultsFolder, make_sequence: MakeSequence, monkeypatch, variables, shares
) -> None:
    for name in ("WORLD_SIZE", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    run([make_sequence(f"s{i}", frames=1) for i in range(7)], ToyEngine(tmp_path), folder)
    assert begun(tmp_path)[0][0] == f"most={-(-7 // shares)}"


def test_the_progress_of_other_processes_is_shown(
    tmp_path: Path, folder: ResultsFolder, sequences: list[Sequence], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are here this one."""
    shown: list[tuple[int, int]] = []

    def launch(processes: int, task: Callable[[], int], look: Callable[[], None]) -> int:
        task()
        monkeypatch.setattr(RunProgress, "show", lambda self, frames: shown.append((self._frames, self._settled)))
        look()
        return 0

    monkeypatch.setattr(module, "launch_apart", launch)
    [summary] = run_trials(Readable(sequences, {}), [Trial(ToyEngine(tmp_path), folder)], processes=2).summaries
    assert statuses(summary) == ["tracked"] * 4
    assert shown == [(18, 4)] * 2


# Beside others, which are here claims in the folder


def test_sequences_of_other_commands_are_left_to_them(
    tmp_path: Path, folder: ResultsFolder, sequences: list[Sequence]
) -> None:
    with Claims(folder.path) as others:
        others.take("s1")
        summary = run(sequences, ToyEngine(tmp_path), folder)
    assert statuses(summary) == ["tracked", "elsewhere", "tracked", "tracked"]
    assert not summary.failed
    lines = summary.text().splitlines()
    assert lines[0] == "sequences: 3 tracked, 0 kept, 0 failed, 1 tracked by other commands"
    assert any(line.startswith(f"elsewhere s1: process {os.getpid()} on ") for line in lines)
    assert not folder.is_finished(sequences[1])
    assert statuses(run(sequences, ToyEngine(tmp_path), folder)) == ["kept", "tracked", "kept", "kept"]


@pytest.mark.parametrize("waits", ["requested", "after a failure", "after an unreadable sequence"])
def test_a_command_that_waits_tracks_the_sequences_that_others_release(
    tmp_path: Path, folder: ResultsFolder, sequences: list[Sequence], monkeypatch: pytest.MonkeyPatch, waits: str
) -> None:
    """As a launcher would end the other commands, one that failed ends last."""
    unreadable = {"s9": "s9: no images; unpack it again"} if waits == "after an unreadable sequence" else {}
    if waits == "after a failure":
        sequences[0].frames[0].write_bytes(b"no image")
    with Claims(folder.path) as others:
        others.take("s1")

        def let_go(seconds: float) -> None:
            assert [folder.is_finished(sequence) for sequence in sequences[1:]] == [False, True, True]
            others.release("s1")

        monkeypatch.setattr(module, "sleep", let_go)
        trial = Trial(ToyEngine(tmp_path), folder)
        [summary] = run_trials(Readable(sequences, unreadable), [trial], wait=waits == "requested").summaries
    failed = waits == "after a failure"
    assert statuses(summary) == ["failed" if failed else "tracked", *["tracked"] * 3, *["failed"] * len(unreadable)]


def test_sequences_that_others_finished_or_failed_meanwhile_are_not_tried_again(
    tmp_path: Path, folder: ResultsFolder, alone: ResultsFolder, sequences: list[Sequence]
) -> None:
    """A sequence that failed before the run began is tried again."""
    folder.note_failure("s2", Failure("RuntimeError: no luck", "Traceback: no luck"))
    time.sleep(0.01)

    class Overtaken(ToyEngine):
        def run(self, take, show) -> Iterator:
            outcomes = super().run(take, show)
            yield next(outcomes)
            run([sequences[0]], ToyEngine(tmp_path), folder)
            folder.note_failure("s1", Failure("RuntimeError: no luck", "shown"))
            yield from outcomes

    summary = run(sequences, Overtaken(tmp_path), folder)
    assert statuses(summary) == ["kept", "failed", "tracked", "tracked"]
    assert summary.failed[0] == ("s1", "failed", "RuntimeError: no luck", "shown")
    assert folder.failure("s2") is None


def test_a_sequence_with_a_dead_process_is_tracked_alone_and_one_with_two_not_at_all(
    tmp_path: Path, folder: ResultsFolder, sequences: list[Sequence]
) -> None:
    """Processes that died before the run began do not count."""
    old, death = time.time() - 60, ("process 3 on node2", time.time() + 60)
    forge(folder.path, "s3", before=60)
    forge(folder.path, "s2", before=-60)
    forge(folder.path, "s1", before=60, deaths=[("process 2 on node2", old)] * 3)
    forge(folder.path, "s0", before=-60, deaths=[death])
    quick = replace(sequences[0], name="quick")
    summary = run([*sequences, quick], ToyEngine(tmp_path, slots=5), folder)
    assert statuses(summary) == ["failed", "tracked", "tracked", "tracked", "tracked"]
    assert begun(tmp_path) == [["most=5", "s3", "s1", "quick", "s2"]]
    reason = summary.failed[0].reason
    assert reason.startswith("2 processes died while they tracked it: process 3 on node2; process of s0")
    assert summary.failed[0].traceback == ""
    assert f"s0: {reason}\n" in (folder.path / "failures.log").read_text()
    assert leftovers(folder) == []


# Commands and their processes


ROOT = Path(__file__).parents[2]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """``start(sequences, engine, folder, **what run_trials takes)``: a command, in a process group of its own."""
    commands: list[subprocess.Popen[str]] = []
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def started(sequences: list[Sequence], engine: ToyEngine, folder: ResultsFolder, **words) -> subprocess.Popen[str]:
        job = tmp_path / f"job-{time.monotonic_ns()}"
        arguments = {"readable": Readable(sequences, {}), "trials": [Trial(engine, folder)], **words}
        job.write_bytes(pickle.dumps(arguments))
        commands.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.evaluation.toy_trackers", str(job)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return commands[-1]

    yield started
    for command in commands:
        command.kill()
        command.communicate()
    assert list(temporary.iterdir()) == [], "also of a killed command"


def await_(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def is_gone(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def processes(folder: Path) -> list[int]:
    return [int(path.name.removeprefix("process-")) for path in folder.glob("process-*")]


@pytest.mark.slow
def test_processes_give_equal_results_and_take_over_the_sequences_of_a_killed_one(
    tmp_path: Path, folder: ResultsFolder, alone: ResultsFolder, make_sequence: MakeSequence, start: Start
) -> None:
    """One of two is killed from outside while it is at work: nothing is lost, as another takes its place."""
    sequences = [make_sequence(f"s{i:02d}", first=(10 + i, 12, 16, 9)) for i in range(16)]
    run(sequences, ToyEngine(alone.path), alone)
    sequences[3].frames[3].write_bytes(b"no image")
    command = start(sequences, ToyEngine(tmp_path, slots=2), folder, processes=2)
    await_(lambda: any(len(words) > 3 for words in begun(tmp_path)))
    busy = max(tmp_path.glob("process-*"), key=lambda path: len(path.read_text()))
    os.kill(int(busy.name.removeprefix("process-")), signal.SIGKILL)
    out, err = command.communicate(timeout=120)
    assert "sequences: 15 tracked, 0 kept, 1 failed\n" in out, err
    assert f"FAILED s03: {sequences[3].frames[3]}" in out
    assert "2 process(es) together" in out
    assert "was killed by SIGKILL (often a lack of memory); another takes its place" in err
    for sequence in sequences[:3] + sequences[4:]:
        np.testing.assert_array_equal(folder.boxes(sequence), alone.boxes(sequence))
    names = [name for words in begun(tmp_path) for name in words[1:]]
    assert set(names) == {sequence.name for sequence in sequences}
    assert 1 <= len(names) - len(set(names)) <= 2, "what the killed one held is tracked twice, nothing else"
    assert leftovers(folder) == []
    assert all(map(is_gone, processes(tmp_path)))


@pytest.mark.slow
def test_a_sequence_that_kills_its_processes_fails_alone(
    tmp_path: Path, folder: ResultsFolder, make_sequence: MakeSequence, start: Start
) -> None:
    deadly = make_sequence("deadly", frames=9, first=(10, 12, 16, 4))
    sequences = [deadly, *(make_sequence(f"s{i}", first=(20 + i, 12, 16, 14)) for i in range(5))]
    command = start(sequences, ToyEngine(tmp_path, slots=4), folder, processes=2)
    out, err = command.communicate(timeout=120)
    assert "sequences: 5 tracked, 0 kept, 1 failed\n" in out, err
    assert "FAILED deadly: 2 processes died while they tracked it: process " in out
    names = [name for words in begun(tmp_path) for name in words[1:]]
    assert names.count("deadly") == 2
    assert "Segmentation fault" in err
    assert leftovers(folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_processes_and_keeps_finished_sequences(
    tmp_path: Path, folder: ResultsFolder, make_sequence: MakeSequence, start: Start, number: signal.Signals
) -> None:
    quick = [make_sequence(f"quick{i}", frames=5) for i in range(2)]
    endless = [make_sequence(f"endless{i}", first=(10, 12, 5, 7)) for i in range(3)]
    command = start([*quick, *endless], ToyEngine(tmp_path), folder, processes=2)
    await_(lambda: all(folder.is_finished(sequence) for sequence in quick))
    await_(lambda: len(list(folder.path.glob("endless*.claim"))) == 2)
    os.killpg(command.pid, number)
    _, err = command.communicate(timeout=30)
    assert command.returncode == 128 + number, err
    assert "Traceback" not in err
    assert [folder.is_finished(sequence) for sequence in (*quick, *endless)] == [True] * 2 + [False] * 3
    assert leftovers(folder) == []
    assert all(map(is_gone, processes(tmp_path)))


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_a_killed_command_leaves_nothing_that_the_next_one_would_wait_for(
    tmp_path: Path, folder: ResultsFolder, make_sequence: MakeSequence, start: Start, count: int
) -> None:
    """Its processes end by themselves and free what they had; where it tracked itself, the kernel has freed it."""
    quick = make_sequence("quick", frames=5)
    endless = [make_sequence(f"endless{i}", first=(10, 12, 5, 7)) for i in range(2)]
    command = start([quick, *endless], ToyEngine(tmp_path), folder, processes=count)
    await_(lambda: len(list(folder.path.glob("endless*.claim"))) == count and folder.is_finished(quick))
    command.send_signal(signal.SIGKILL)
    command.communicate(timeout=30)
    await_(lambda: all(map(is_gone, processes(tmp_path))))
    assert len(list(folder.path.glob("*.claim"))) == (1 if count == 1 else 0)
    summary = run([quick, *endless], lambda most: StaticEngine(), folder)
    assert statuses(summary) == ["kept", "tracked", "tracked"]
    assert leftovers(folder) == []


@pytest.mark.slow
def test_two_commands_give_equal_results_and_track_nothing_twice(
    tmp_path: Path, folder: ResultsFolder, alone: ResultsFolder, make_sequence: MakeSequence, start: Start
) -> None:
    sequences = [make_sequence(f"s{i:02d}", first=(10 + i, 12, 16, 9)) for i in range(20)]
    failing = make_sequence("failing", first=(50, 12, 16, 6))
    run(sequences, ToyEngine(alone.path), alone)
    # Without waiting, the one that finds nothing left to take may end before the other's last sequence has failed.
    commands = [start([*sequences, failing], ToyEngine(tmp_path), folder, wait=True) for _ in range(2)]
    outputs = [command.communicate(timeout=120) for command in commands]
    for out, err in outputs:
        assert "FAILED failing: KeyError: 'two\\nlines'" in out, err
        assert "Traceback" not in err
    names = [words[1:] for words in begun(tmp_path)]
    assert all(names) and len(names) == 2  # both had some
    assert sorted(names[0] + names[1]) == sorted(sequence.name for sequence in [*sequences, failing])
    for sequence in sequences:
        np.testing.assert_array_equal(folder.boxes(sequence), alone.boxes(sequence))
    counts = [list(map(int, re.findall(r"(\d+) (?:tracked|kept|failed)", out))) for out, _ in outputs]
    assert [sum(count) for count in counts] == [21, 21]  # each waited for the other
    assert counts[0][0] + counts[1][0] == 20
    assert leftovers(folder) == []
