"""Whatever befalls a process, its sequence alone is lost, with a word on where it was."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from lib.data.types import Sequence
from lib.evaluation import workers as module
from lib.evaluation.attempt import Failure
from lib.evaluation.results import Track
from lib.evaluation.workers import RunError, Workers
from tests.evaluation.toy_trackers import AccidentFactory, CountedFactory

pytestmark = pytest.mark.slow  # a process takes seconds to start


def outcomes(workers: Workers, sequences: Iterable[Sequence]) -> dict[str, Track | Failure]:
    waiting = iter(sequences)
    return {outcome[0].name: outcome[1] for outcome in workers.run(lambda: next(waiting, None)) if outcome}


def test_accidents(tmp_path: Path, make_sequence: Callable[..., Sequence], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANGING_SECONDS", 2.0)
    heights = {"killed": 3, "damaged": 4, "exits": 6, "hangs": 7, "raises": 8}
    accidents = [make_sequence(name, first=(10, 12, 16, height)) for name, height in heights.items()]
    quiet = [make_sequence(f"quiet{i}", frames=6, first=(20 + i, 12, 16, 14)) for i in range(3)]
    order = [*accidents[:2], quiet[0], *accidents[2:], *quiet[1:]]
    ended = outcomes(Workers(AccidentFactory(tmp_path), [4, 7]), order)
    assert set(ended) == {sequence.name for sequence in order}
    frame = {sequence.name: f" at frame 3 of 4 ({sequence.frames[2]})" for sequence in accidents}
    assert ended["killed"].reason == f"its process was killed by SIGKILL (often a lack of memory){frame['killed']}"
    assert ended["killed"].traceback == "the process ended without a traceback"
    assert ended["damaged"].reason == f"its process was killed by SIGSEGV{frame['damaged']}"
    assert ended["damaged"].traceback.startswith("Fatal Python error: Segmentation fault")
    assert ended["exits"].reason == "SystemExit: enough"
    assert ended["hangs"].reason == f"its process was ended after 2 s without a sign of life{frame['hangs']}"
    assert ended["raises"].reason == "RuntimeError: two lines"
    for name in ("damaged", "exits", "hangs", "raises"):
        assert "toy_trackers.py" in ended[name].traceback
    assert [name for name in heights if ended[name].explained] == ["killed"]
    for sequence in quiet:
        assert ended[sequence.name].boxes.shape == (6, 4)
    # Three processes died, of two; a replacement has the number of the one before.
    files = [path.read_text().split("\n") for path in tmp_path.glob("process-*")]
    assert {line.split()[0] for lines in files for line in lines if line} == {"4", "7"}
    assert 4 <= len(files) <= 5


def test_a_process_that_gets_no_tracker_is_done_without(tmp_path: Path, make_sequence: Callable[..., Sequence]) -> None:
    """One dies, and cannot be built again, or dies building: the other tracks what that would have tracked."""
    deadly = make_sequence("deadly", first=(66, 12, 5, 5))
    lasting = make_sequence("lasting", first=(68, 12, 5, 5))
    quiet = [make_sequence(f"quiet{i}") for i in range(4)]
    ended = outcomes(Workers(CountedFactory(tmp_path, once=True), [0, 1]), [deadly, lasting, *quiet])
    assert {name for name, outcome in ended.items() if isinstance(outcome, Failure)} == {"deadly"}
    assert len(ended) == 6
    with pytest.raises(RunError, match="process 0 could not build its tracker: out of luck"):
        outcomes(Workers(CountedFactory(tmp_path, once=True), [0]), quiet)
    ended = outcomes(Workers(CountedFactory(tmp_path, dies=1), [0, 1]), [lasting, *quiet])
    assert len(ended) == 5
    assert not any(isinstance(outcome, Failure) for outcome in ended.values())
    with pytest.raises(RunError, match="process 1 could not build its tracker: its process was killed by SIGKILL"):
        outcomes(Workers(CountedFactory(tmp_path, dies=1), [1]), quiet)


def test_the_frames_of_the_sequences_at_work_are_known(
    tmp_path: Path, make_sequence: Callable[..., Sequence], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.02)
    waiting = iter([make_sequence("slow", frames=6, first=(10, 12, 16, 9))])
    workers = Workers(AccidentFactory(tmp_path), [0])
    seen = {workers.frames for _ in workers.run(lambda: next(waiting, None))}
    assert {0, 2} <= seen <= set(range(6))
    assert workers.frames == 0


def test_workers_do_not_outlive_a_parent_that_was_killed(
    tmp_path: Path, make_sequence: Callable[..., Sequence]
) -> None:
    program = (
        "import pickle, sys; from pathlib import Path; from lib.evaluation.workers import Workers\n"
        "factory, sequences = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
        "list(Workers(factory, [0]).run(iter(sequences).__next__))\n"
    )
    endless = make_sequence("endless", first=(10, 12, 16, 7))
    (tmp_path / "job").write_bytes(pickle.dumps((AccidentFactory(tmp_path), [endless])))
    command = [sys.executable, "-c", program, str(tmp_path / "job")]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as parent:
        until = time.monotonic() + 60
        while not (files := list(tmp_path.glob("process-*"))) and time.monotonic() < until:
            time.sleep(0.05)
        parent.send_signal(signal.SIGKILL)
    worker = Path("/proc") / files[0].name.removeprefix("process-")
    until = time.monotonic() + 10
    while worker.exists() and worker.joinpath("stat").read_text().split()[2] != "Z" and time.monotonic() < until:
        time.sleep(0.05)
    assert not worker.exists() or worker.joinpath("stat").read_text().split()[2] == "Z"
