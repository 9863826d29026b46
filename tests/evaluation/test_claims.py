"""A name is one process's at a time, whatever crashes or races; and nothing is claimed for ever."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lib.evaluation.running import claims as module
from lib.evaluation.running.claims import STALE_SECONDS, ClaimError, Claims, Holder, find_holder, holding


def forge(folder: Path, name: str = "s1", silent: float = 0, **changes: object) -> Path:
    """A claim as some process left it, by default one of this machine, whose number is free, without a sign of life
    for ``silent`` seconds."""
    with Claims(folder) as claims:
        claims.take("forged")
        content = json.loads((folder / "forged.claim").read_text())
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    file = folder / f"{name}.claim"
    file.write_text(json.dumps(content | {"pid": gone.pid, "token": f"token-{name}"} | changes))
    os.utime(file, (time.time() - silent,) * 2)
    return file


def test_a_name_is_held_by_one_until_it_is_released(tmp_path: Path) -> None:
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        assert one.take("s1") == ()
        holder = other.take("s1")
        assert holder.alive and holder == find_holder(tmp_path, "s1")
        assert str(holder).startswith(f"process {os.getpid()} on {socket.gethostname()} since 2")
        assert find_holder(tmp_path, "s2") is None
        assert other.take("s2") == ()
        one.release("s1")
        assert other.take("s1") == ()
        assert isinstance(one.take("s1"), Holder)
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_fails_releases_all(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Claims(tmp_path) as claims:
        claims.take("s1")
        claims.take("s2")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_process_of_this_machine_left_is_taken_over_at_once_and_kept_in_mind(tmp_path: Path) -> None:
    left = [["process 1 on node2", 5.0]]
    file = forge(tmp_path, process="process 2 here", deaths=left)
    os.utime(file, (1000, 1000))
    with Claims(tmp_path) as claims, Claims(tmp_path) as other:
        deaths = claims.take("s1")
        assert deaths == (("process 1 on node2", 5.0), ("process 2 here", 1000.0))
        assert other.take("s1").deaths == deaths
        assert [path.name for path in tmp_path.iterdir()] == ["s1.claim"]
    assert list(tmp_path.iterdir()) == []


def test_what_died_later_than_a_moment_can_be_left_alone(tmp_path: Path) -> None:
    forge(tmp_path, silent=10)
    with Claims(tmp_path) as claims:
        holder = claims.take("s1", dead_by=time.time() - 20)
        assert isinstance(holder, Holder) and not holder.alive
        assert len(claims.take("s1", dead_by=time.time())) == 1


def test_a_process_that_has_ended_but_was_not_asked_for_its_code_is_dead(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        forge(tmp_path, pid=zombie.pid)
        with Claims(tmp_path) as claims:
            assert len(claims.take("s1")) == 1


def test_a_number_that_another_process_has_now_is_no_life(tmp_path: Path) -> None:
    started = module._started(os.getppid())
    with Claims(tmp_path) as claims:
        forge(tmp_path, pid=os.getppid(), started=started)
        assert isinstance(claims.take("s1"), Holder)
        forge(tmp_path, pid=os.getppid(), started=str(int(started) - 1))
        assert len(claims.take("s1")) == 1


@pytest.mark.parametrize(("silent", "alive"), [(STALE_SECONDS - 30, True), (STALE_SECONDS + 30, False)])
@pytest.mark.parametrize("changes", [
    {"place": "node2 another start"},
    {"pid": os.getpid(), "started": ""},
])  # fmt: skip
def test_what_cannot_be_looked_up_counts_as_long_as_it_is_renewed(tmp_path: Path, changes, silent, alive) -> None:
    """A process of another machine, and one of this of which it is not known when it started."""
    forge(tmp_path, silent=silent, **changes)
    with Claims(tmp_path) as claims:
        taken = claims.take("s1")
        assert isinstance(taken, Holder) == alive
        assert not alive or f"(last sign {silent:.0f} s ago)" in str(taken)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"token": 1}'])
@pytest.mark.parametrize(("silent", "alive"), [(0, True), (STALE_SECONDS + 30, False)])
def test_a_claim_that_its_holder_had_no_time_to_sign(tmp_path: Path, text: str, silent: float, alive: bool) -> None:
    file = tmp_path / "s1.claim"
    file.write_text(text)
    os.utime(file, (time.time() - silent,) * 2)
    with Claims(tmp_path) as claims:
        assert isinstance(claims.take("s1"), Holder) == alive


def test_claims_are_renewed_as_long_as_they_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    with Claims(tmp_path) as claims:
        claims.take("s1")
        file = tmp_path / "s1.claim"
        os.utime(file, (0, 0))
        until = time.monotonic() + 10
        while file.stat().st_mtime == 0 and time.monotonic() < until:
            time.sleep(0.01)
        assert abs(file.stat().st_mtime - time.time()) < 5


def test_whoever_slept_too_long_leaves_the_new_claim_alone(tmp_path: Path) -> None:
    with Claims(tmp_path) as sleeper, Claims(tmp_path) as other:
        sleeper.take("s1")
        file = tmp_path / "s1.claim"
        file.write_text(file.read_text().replace('"place": "', '"place": "elsewhere '))  # as another machine sees it
        os.utime(file, (0, 0))
        assert len(other.take("s1")) == 1
        sleeper.release("s1")
        assert isinstance(sleeper.take("s1"), Holder)


def test_a_new_claim_that_is_moved_aside_by_mistake_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two see the same dead claim; the slower one acts on what it read before the quicker one had taken over."""
    forge(tmp_path)
    with Claims(tmp_path) as slow, Claims(tmp_path) as quick:
        rename, renamed = os.rename, []

        def overtaken(source: Path, target: Path) -> None:
            if not renamed:
                renamed.append(source)
                assert len(quick.take("s1")) == 1
            rename(source, target)

        monkeypatch.setattr(os, "rename", overtaken)
        holder = slow.take("s1")
        assert isinstance(holder, Holder) and holder.alive
        assert holder.token == quick._tokens["s1"]
        assert [path.name for path in tmp_path.iterdir()] == ["s1.claim"]
    assert list(tmp_path.iterdir()) == []


def test_a_name_goes_on_from_one_to_the_next_though_some_die(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads take, hold and release a name, and now and then leave it as a dead process would."""
    monkeypatch.setattr(module, "STALE_SECONDS", 1.0)  # for a claim that is released while it is aside, and put back
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.1)
    inside, alone, turns = 0, 0, 0
    lock = threading.Lock()

    def compete(number: int) -> None:
        nonlocal inside, alone, turns
        with Claims(tmp_path) as claims:
            mine = 0
            while mine < 12:
                if isinstance(claims.take("s1"), Holder):
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
                    claims._tokens.pop("s1")
                    forge_over(tmp_path / "s1.claim")
                else:
                    claims.release("s1")

    def forge_over(file: Path) -> None:
        try:
            with open(file, "r+") as stream:
                text = stream.read().replace('"started": "', '"started": "0')
                stream.seek(0)
                stream.write(text)
        except FileNotFoundError:
            pass  # another has it aside, by mistake

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(compete, range(6)))
    assert turns == 72
    assert alone >= 60
    assert {path.name for path in tmp_path.iterdir()} <= {"s1.claim"}


def test_a_block_waits_for_the_one_that_holds_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Claims(tmp_path) as claims:
        claims.take(".manifest.json")
        threading.Timer(0.1, claims.release, [".manifest.json"]).start()
        with holding(tmp_path, "manifest.json"):
            assert claims._tokens == {}
        claims.take(".manifest.json")
        monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)
        held = pytest.raises(ClaimError, match=f"manifest.json.claim: held by process {os.getpid()} on ")
        with held, holding(tmp_path, "manifest.json"):
            pytest.fail("two at once")


def test_a_block_does_not_wait_for_a_sequence_that_is_named_as_the_file(tmp_path: Path) -> None:
    with Claims(tmp_path) as claims:
        claims.take("failures.log")
        with holding(tmp_path, "failures.log"):
            assert claims._tokens.keys() == {"failures.log"}


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Claims(tmp_path / "file") as claims, pytest.raises(ClaimError, match="Not a directory.*; mend that"):
        claims.take("s1")
