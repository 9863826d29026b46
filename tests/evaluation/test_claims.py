"""A name is one process's at a time, whatever crashes, sleeps or races; and nothing is claimed for ever."""

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

from lib.evaluation import claims as module
from lib.evaluation.claims import STALE_SECONDS, Claim, ClaimError, Claims, Holder, holding


def forge(folder: Path, name: str = "s1", silent: float = 0, **changes: object) -> Path:
    """A claim as some process left it, by default one of this machine, whose number is free, without a sign of life
    for ``silent`` seconds."""
    with Claims(folder) as claims:
        content = json.loads(claims.take("forged").path.read_text())
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    file = folder / f"{name}.claim"
    file.write_text(json.dumps(content | {"pid": gone.pid, "token": f"token-{name}"} | changes))
    os.utime(file, (time.time() - silent,) * 2)
    return file


def test_a_name_is_held_by_one_until_it_is_released(tmp_path: Path) -> None:
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        claim = one.take("s1")
        assert isinstance(claim, Claim)
        assert (claim.name, claim.left) == ("s1", ())
        holder = other.take("s1")
        assert isinstance(holder, Holder)
        assert (holder.host, holder.pid) == (socket.gethostname(), os.getpid())
        assert str(holder).startswith(f"process {os.getpid()} on {socket.gethostname()} since 2")
        assert one.names() == other.names() == {"s1"}
        assert isinstance(other.take("s2"), Claim)
        one.release(claim)
        assert isinstance(other.take("s1"), Claim)
        assert not one.holds(claim)
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_fails_releases_all(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Claims(tmp_path) as claims:
        claims.take("s1")
        claims.take("s2")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_process_of_this_machine_left_is_taken_over_at_once(tmp_path: Path) -> None:
    forge(tmp_path)
    with Claims(tmp_path) as claims, Claims(tmp_path) as other:
        claim = claims.take("s1")
        assert isinstance(claim, Claim)
        assert [found.token for found in claim.left] == ["token-s1"]
        assert isinstance(other.take("s1"), Holder)
        assert claims.holds(claim)
    assert list(tmp_path.iterdir()) == []


def test_what_one_after_the_other_left_is_still_one_claim(tmp_path: Path) -> None:
    forge(tmp_path)
    forge(tmp_path, "later", token="token-later").rename(tmp_path / "s1.claim.token-s1")
    with Claims(tmp_path) as claims:
        assert [found.token for found in claims.take("s1").left] == ["token-s1", "token-later"]
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_has_ended_but_was_not_asked_for_its_code_is_dead(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        forge(tmp_path, pid=zombie.pid)
        with Claims(tmp_path) as claims:
            assert isinstance(claims.take("s1"), Claim)


def test_a_number_that_another_process_has_now_is_no_life(tmp_path: Path) -> None:
    started = module._started(os.getppid())
    with Claims(tmp_path) as claims:
        forge(tmp_path, pid=os.getppid(), started=started, silent=10 * STALE_SECONDS)
        assert isinstance(claims.take("s1"), Holder)  # alive, though stopped for a while
        forge(tmp_path, pid=os.getppid(), started=str(int(started) - 1))
        assert isinstance(claims.take("s1"), Claim)


def test_a_slip_of_this_very_process_is_no_life(tmp_path: Path) -> None:
    forge(tmp_path, pid=os.getpid(), started=module._started(os.getpid()))
    with Claims(tmp_path) as claims:
        assert isinstance(claims.take("s1"), Claim)


@pytest.mark.parametrize(("silent", "kind"), [(STALE_SECONDS - 30, Holder), (STALE_SECONDS + 30, Claim)])
def test_another_machines_claim_counts_as_long_as_it_is_renewed(tmp_path: Path, silent: float, kind: type) -> None:
    forge(tmp_path, host="node2", place="node2 another start", silent=silent)
    with Claims(tmp_path) as claims:
        taken = claims.take("s1")
        assert isinstance(taken, kind)
        if kind is Holder:
            assert (taken.host, round(taken.silent / 10)) == ("node2", round(silent / 10))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"token": 1}'])
@pytest.mark.parametrize(("silent", "kind"), [(0, Holder), (STALE_SECONDS + 30, Claim)])
def test_a_claim_that_its_holder_had_no_time_to_sign(tmp_path: Path, text: str, silent: float, kind: type) -> None:
    file = tmp_path / "s1.claim"
    file.write_text(text)
    os.utime(file, (time.time() - silent,) * 2)
    with Claims(tmp_path) as claims:
        assert isinstance(claims.take("s1"), kind)


def test_claims_are_renewed_as_long_as_they_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    with Claims(tmp_path) as claims:
        file = claims.take("s1").path
        os.utime(file, (0, 0))
        until = time.monotonic() + 10
        while file.stat().st_mtime == 0 and time.monotonic() < until:
            time.sleep(0.01)
        assert abs(file.stat().st_mtime - claims.now()) < 5


def test_whoever_slept_too_long_has_lost_its_claim_and_leaves_the_new_one_alone(tmp_path: Path) -> None:
    with Claims(tmp_path) as sleeper, Claims(tmp_path) as other:
        lost = sleeper.take("s1")
        content = json.loads(lost.path.read_text())
        lost.path.write_text(json.dumps(content | {"place": "elsewhere"}))  # as another machine sees it
        os.utime(lost.path, (0, 0))
        taken = other.take("s1")
        assert isinstance(taken, Claim)
        assert not sleeper.holds(lost)
        sleeper.release(lost)
        assert other.holds(taken)
        assert isinstance(sleeper.take("s1"), Holder)


def test_a_chain_that_is_released_while_it_is_read_is_not_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge(tmp_path)
    with Claims(tmp_path) as slow, Claims(tmp_path) as quick:
        read = slow._read

        def read_and_dawdle(path: Path):
            found = read(path)
            if found is not None and found.token == "token-s1" and (tmp_path / "s1.claim").exists():
                quick.release(quick.take("s1"))
            return found

        monkeypatch.setattr(slow, "_read", read_and_dawdle)
        claim = slow.take("s1")
        assert (claim.path, claim.left) == (tmp_path / "s1.claim", ())
        assert isinstance(quick.take("s1"), Holder)
    assert list(tmp_path.iterdir()) == []


def test_never_two_at_once_though_some_die(tmp_path: Path) -> None:
    """Threads take, hold and release a name, and now and then leave it as a dead process would."""
    inside, most, turns = 0, 0, 0
    lock = threading.Lock()

    def compete(number: int) -> None:
        nonlocal inside, most, turns
        with Claims(tmp_path) as claims:
            mine = 0
            while mine < 12:
                claim = claims.take("s1")
                if isinstance(claim, Holder):
                    time.sleep(0.0005)
                    continue
                with lock:
                    inside += 1
                    most = max(most, inside)
                mine += 1
                time.sleep(0.0002)
                with lock:
                    inside -= 1
                    turns += 1
                if mine % 3 == number % 3:  # dies: its token is nobody's
                    claims._held.pop(claim.token)
                    module._HELD.discard(claim.token)
                else:
                    claims.release(claim)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(compete, range(6)))
    assert (most, turns) == (1, 72)


def test_a_block_waits_for_the_one_that_holds_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Claims(tmp_path) as claims:
        claim = claims.take("manifest.json")
        threading.Timer(0.1, claims.release, [claim]).start()
        with holding(tmp_path, "manifest.json"):
            assert not claims.holds(claim)
        claims.take("manifest.json")
        monkeypatch.setattr(module, "STALE_SECONDS", -60.1)
        held = pytest.raises(ClaimError, match=f"manifest.json.claim: held by process {os.getpid()} on ")
        with held, holding(tmp_path, "manifest.json"):
            pytest.fail("two at once")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for call in (lambda claims: claims.take("s1"), Claims.names, Claims.now):
        with Claims(tmp_path / "file") as claims, pytest.raises(ClaimError, match="Not a directory.*; mend that"):
            call(claims)
