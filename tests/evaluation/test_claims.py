"""One process has a name at a time, despite crashes and races, and no claim outlives its process."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lib.evaluation.running.claims import Claims, find_holder, release_left
from lib.runtime.stop import Terminated, terminated_like_interrupted

HOLD = """
import sys
from pathlib import Path
from lib.evaluation.running.claims import Claims
with Claims(Path(sys.argv[1])) as claims:
    print(claims.take("s1"), flush=True)
    sys.stdin.read()
"""


def forge(folder: Path, name: str = "s1", before: float = 0, deaths: Sequence[tuple[str, float]] = ()) -> Path:
    """A claim that a dead process made so many seconds ago, after the deaths of others: process and time."""
    file = folder / f"{name}.claim"
    lines = [*deaths, (f"process of {name}", time.time() - before)]
    file.write_text("".join(f"{claimed} {process}\n" for process, claimed in lines))
    return file


def test_a_name_is_held_by_one_until_it_is_released(tmp_path: Path) -> None:
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        assert one.take("s1") == ()
        assert other.take("s1") is None
        assert find_holder(tmp_path, "s1").startswith(f"process {os.getpid()} on {socket.gethostname()} since 2")
        assert find_holder(tmp_path, "s2") is None
        assert other.take("s2") == ()
        one.release("s1")
        assert other.take("s1") == ()
        assert one.take("s1") is None
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_fails_releases_all(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Claims(tmp_path) as claims:
        claims.take("s1")
        claims.take("s2")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_second_sigterm_interrupts_no_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = Claims.release

    def disturbed(claims: Claims, name: str) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        release(claims, name)

    monkeypatch.setattr(Claims, "release", disturbed)
    with pytest.raises(Terminated), terminated_like_interrupted(), Claims(tmp_path) as claims:
        claims.take("s1")
        claims.take("s2")
        os.kill(os.getpid(), signal.SIGTERM)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_holds_nothing_and_is_counted(tmp_path: Path) -> None:
    """Also before its exit code is read."""
    forge(tmp_path, before=99)
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert "process of s1" in process.stdout.readline()
        with Claims(tmp_path) as claims:
            assert claims.take("s1") is None
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert find_holder(tmp_path, "s1") is None
        with Claims(tmp_path) as claims:
            first, second = claims.take("s1")
    assert first.process == "process of s1" and abs(time.time() - 99 - first.claimed) < 60
    assert second.process.startswith(f"process {process.pid} on ") and abs(time.time() - second.claimed) < 60
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_died_after_a_moment_can_be_left_alone(tmp_path: Path) -> None:
    forge(tmp_path, before=10, deaths=[("another", 5.0)])
    with Claims(tmp_path) as claims:
        assert claims.take("s1", dead_by=time.time() - 20) is None
        assert [death.process for death in claims.take("s1", dead_by=time.time())] == ["another", "process of s1"]


def test_a_claim_that_its_holder_did_not_sign(tmp_path: Path) -> None:
    for text in ("", "\n", "x process 3 on node2"):
        (tmp_path / "s1.claim").write_text(text)
        with Claims(tmp_path) as claims:
            assert claims.take("s1") == ()


def test_a_name_goes_from_one_process_to_the_next_though_some_die(tmp_path: Path) -> None:
    """Threads take, hold and release a name, and now and then leave it as a dead process would."""
    inside, alone, turns = 0, 0, 0
    lock = threading.Lock()

    def compete(number: int) -> None:
        nonlocal inside, alone, turns
        with Claims(tmp_path) as claims:
            mine = 0
            while mine < 12:
                if claims.take("s1") is None:
                    time.sleep(0.0005)
                    continue
                with lock:
                    inside += 1
                    alone += inside == 1
                mine += 1
                time.sleep(0.0002)
                with lock:
                    inside -= 1
                    turns += 1
                if mine % 3 == number % 3:
                    claims._files.pop("s1").close()
                else:
                    claims.release("s1")

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(compete, range(6)))
    assert alone == turns == 72
    assert {path.name for path in tmp_path.iterdir()} <= {"s1.claim"}


def test_the_claim_of_a_dead_process_is_removed_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    forge(tmp_path)
    release_left(tmp_path, "s1")
    release_left(tmp_path, "s1")
    assert list(tmp_path.iterdir()) == []
    with Claims(tmp_path) as claims:
        claims.take("s1")
        release_left(tmp_path, "s1")
        assert find_holder(tmp_path, "s1")


def test_a_full_disk_is_named_and_nothing_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match=r"No space left on device: .*/s1\.claim"), Claims(tmp_path) as claims:
        claims.take("s1")
    assert list(tmp_path.iterdir()) == []


def test_on_a_disk_without_locks_no_process_counts_as_dead(tmp_path: Path, monkeypatch, caplog) -> None:
    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        assert one.take("s1") == other.take("s1") == ()
    assert "this disk has no locks" in caplog.text
