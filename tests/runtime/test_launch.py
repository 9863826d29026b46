from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import os, signal, sys, time
from pathlib import Path
rank, folder, what = int(os.environ["RANK"]), Path(sys.argv[1]), sys.argv[2]
assert os.environ["WORLD_SIZE"] == "2" and os.environ["OMP_NUM_THREADS"]
if what in ("wait", "stubborn"):
    def stop(number, frame):
        (folder / f"told{rank}").touch()
        time.sleep(60 if what == "stubborn" else 0.5)
        (folder / f"saved{rank}").touch()
        sys.exit(128 + number)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
(folder / f"started{rank}").touch()
while what in ("wait", "stubborn") or (what == "left" and rank == 0):
    time.sleep(0.1)
if rank == 1:
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(5 if what == "left" else int(what))
"""


def start(tmp_path, what: str, before: str = "pass") -> subprocess.Popen:
    (tmp_path / "program.py").write_text(PROGRAM)
    launcher = (
        f"{before}\nimport sys, logging; from lib.runtime.launch import launch; logging.basicConfig()\n"
        "sys.exit(launch(2, sys.argv[1:]))"
    )
    command = [sys.executable, "-c", launcher, str(tmp_path / "program.py"), str(tmp_path), what]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(("what", "code"), [("0", 0), ("3", 3), ("killed", 1), ("left", 5)])
def test_the_exit_code_is_that_of_the_process_that_failed(tmp_path, what, code):
    with start(tmp_path, what) as launcher:
        errors = launcher.communicate()[1]
    assert launcher.returncode == code, errors
    assert "Traceback" not in errors
    assert ("process 1 was killed by SIGKILL" in errors) == (what == "killed")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_processes_and_is_waited_for(tmp_path, number):
    with start(tmp_path, "wait") as launcher:
        wait_for(launcher, tmp_path, "started")
        launcher.send_signal(number)
        errors = launcher.communicate(timeout=60)[1]
    assert launcher.returncode == 128 + number, errors
    assert "Traceback" not in errors
    assert len(list(tmp_path.glob("saved*"))) == 2


@pytest.mark.slow
def test_a_second_interrupt_ends_them_at_once(tmp_path):
    with start(tmp_path, "stubborn") as launcher:
        wait_for(launcher, tmp_path, "started")
        launcher.send_signal(signal.SIGINT)
        wait_for(launcher, tmp_path, "told")
        launcher.send_signal(signal.SIGINT)
        errors = launcher.communicate(timeout=40)[1]
    assert launcher.returncode == 128 + signal.SIGINT, errors
    assert not list(tmp_path.glob("saved*"))


@pytest.mark.slow
def test_an_ignored_hangup_stays_ignored(tmp_path):
    with start(tmp_path, "wait", "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)") as launcher:
        wait_for(launcher, tmp_path, "started")
        launcher.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert launcher.poll() is None and not list(tmp_path.glob("told*"))
        launcher.send_signal(signal.SIGTERM)
        launcher.communicate(timeout=60)
    assert launcher.returncode == 128 + signal.SIGTERM


def wait_for(launcher: subprocess.Popen, folder, name: str) -> None:
    while len(list(folder.glob(f"{name}*"))) < 2:
        assert launcher.poll() is None
        time.sleep(0.1)
