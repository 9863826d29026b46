import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from family_tree import family

TASK = """
import os, signal, sys, time

def task(folder, what):
    rank = int(os.environ["RANK"])
    assert os.environ["WORLD_SIZE"] == "2" and os.environ["OMP_NUM_THREADS"]
    if what in ("wait", "stubborn"):
        def stop(number, frame):
            (folder / f"told{rank}").touch()
            time.sleep(60 if what == "stubborn" else 0.5)
            (folder / f"saved{rank}").touch()
            sys.exit(128 + number)
        signal.signal(signal.SIGTERM, stop)
    (folder / f"started{rank}").touch()
    while what in ("wait", "stubborn") or (what == "left" and rank == 0):
        time.sleep(0.1)
    if rank == 0:
        return 0
    if what == "wrong":
        raise ValueError("no such file")
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return 5
"""
LAUNCHER = """
import logging, sys
from functools import partial
from pathlib import Path
import lib.runtime.launch as module
from own_task import task
logging.basicConfig()
folder, what, after = sys.argv[1:]
module.AFTER_FAILURE = float(after)
sys.exit(module.launch(2, partial(task, Path(folder), what)))
"""


def start_program(tmp_path, task: str, launcher: str, *words: str, mark: dict[str, str] | None = None, **pipes):
    """A launcher of a task that is a function of its own module."""
    (tmp_path / "own_task.py").write_text(task)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    command = [sys.executable, "-c", launcher, str(tmp_path), *words]
    environment = os.environ | {"PYTHONPATH": path} | (mark or {})
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL), **pipes,  # these tests may run under nohup
    )  # fmt: skip


def start(tmp_path, what: str, before: str = "", task: str = TASK, after: float = 30.0, **words) -> subprocess.Popen:
    return start_program(tmp_path, task, before + LAUNCHER, what, str(after), **words)


@pytest.mark.slow
@pytest.mark.parametrize(("what", "code"), [("killed", 1), ("left", 5), ("wrong", 1)])
def test_the_exit_code_is_that_of_the_process_that_failed(tmp_path, what, code):
    with start(tmp_path, what) as launcher:
        errors = launcher.communicate()[1]
    assert launcher.returncode == code, errors
    assert "Traceback" not in errors
    assert ("process 1 was killed by SIGKILL" in errors) == (what == "killed")
    assert ("error: no such file\n" in errors) == (what == "wrong")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_of_the_terminal_reaches_the_processes_and_is_waited_for(tmp_path, number):
    with start(tmp_path, "wait") as launcher:
        wait_for(launcher, tmp_path, "started")
        os.killpg(launcher.pid, number)
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


DEAF = """
import os, signal, sys, time

def task(folder, what):
    rank = os.environ["RANK"]
    signal.signal(signal.SIGTERM, signal.SIG_IGN if rank == "1" else lambda *_: sys.exit(143))
    (folder / f"started{rank}").touch()
    time.sleep(60)
"""


@pytest.mark.slow
def test_a_process_that_waits_for_one_that_was_interrupted_is_not_waited_for(tmp_path):
    with start(tmp_path, "deaf", task=DEAF, after=0.5) as launcher:
        wait_for(launcher, tmp_path, "started")
        launcher.send_signal(signal.SIGINT)
        launcher.communicate(timeout=20)
    assert launcher.returncode == 128 + signal.SIGINT


@pytest.mark.slow
def test_processes_whose_launcher_is_killed_save_and_end(tmp_path):
    with family() as (mark, members), start(tmp_path, "wait", mark=mark) as launcher:
        wait_for(launcher, tmp_path, "started")
        assert len(members.alive()) == 4, "and the tracker of semaphores"
        launcher.kill()
        launcher.communicate(timeout=20)
        members.await_end()
    assert len(list(tmp_path.glob("saved*"))) == 2


LISTENERS = """
import os
from pathlib import Path
import torch
import torch.distributed as dist

def task(folder, what):
    dist.init_process_group("gloo")
    dist.all_reduce(torch.ones(1))
    mine = set()
    for process in (os.getpid(), os.getppid()):
        for file in Path(f"/proc/{process}/fd").iterdir():
            if file.is_symlink():  # the listing's own is gone by now
                mine.add(os.readlink(file))
    for kind in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in mine:
                (folder / f"listens-{fields[1]}").touch()
    dist.barrier()
    dist.destroy_process_group()
    return 0
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="sockets are looked for where Linux lists them")
def test_nothing_listens_beyond_the_loopback(tmp_path):
    with start(tmp_path, "", task=LISTENERS) as launcher:
        errors = launcher.communicate(timeout=60)[1]
    assert launcher.returncode == 0, errors
    addresses = [path.name.partition("-")[2].partition(":")[0] for path in tmp_path.glob("listens-*")]
    assert addresses and set(addresses) == {"0100007F"}, "127.0.0.1, as the kernel writes it"


@pytest.mark.slow
def test_an_ignored_hangup_stays_ignored(tmp_path):
    with start(tmp_path, "wait", "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n") as launcher:
        wait_for(launcher, tmp_path, "started")
        launcher.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert launcher.poll() is None and not list(tmp_path.glob("told*"))
        launcher.send_signal(signal.SIGTERM)
        launcher.communicate(timeout=60)
    assert launcher.returncode == 128 + signal.SIGTERM
    assert len(list(tmp_path.glob("saved*"))) == 2


def wait_for(launcher: subprocess.Popen, folder, name: str) -> None:
    while len(list(folder.glob(f"{name}*"))) < 2:
        assert launcher.poll() is None
        time.sleep(0.1)


# Processes that work apart

APART = """
import os, signal, sys, time

def task(folder, what):
    rank = int(os.environ["RANK"])
    assert os.environ["WORLD_SIZE"] == "2" and os.environ["OMP_NUM_THREADS"] and "MASTER_PORT" not in os.environ
    (folder / f"started{rank}-{os.getpid()}").touch()
    if rank == 1 and (what == "killed" or what == "once" and len(list(folder.glob("started1-*"))) == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if rank == 1 and what == "failed":
        return 5
    time.sleep(60 if what == "wait" else 1)
    (folder / f"ended{rank}").touch()
    return 0
"""
LAUNCHER_APART = """
import logging, sys
from functools import partial
from pathlib import Path
sys.modules["torch"] = None
from lib.runtime.launch import launch_apart
from own_task import task
logging.basicConfig()
looks = []
code = launch_apart(2, partial(task, Path(sys.argv[1]), sys.argv[2]), lambda: looks.append(1))
print(len(looks))
sys.exit(code)
"""


def start_apart(tmp_path, what: str, **words) -> subprocess.Popen:
    return start_program(tmp_path, APART, LAUNCHER_APART, what, stdout=subprocess.PIPE, **words)


@pytest.mark.slow
@pytest.mark.parametrize(("what", "starts", "ended"), [("failed", 1, 1), ("once", 2, 2), ("killed", 5, 1)])
def test_one_that_is_killed_is_replaced_some_times_and_leaves_the_others_alone(tmp_path, what, starts, ended):
    with start_apart(tmp_path, what) as launcher:
        out, errors = launcher.communicate(timeout=60)
    assert launcher.returncode == 0, errors
    assert len(list(tmp_path.glob("started0-*"))) == 1
    assert len(list(tmp_path.glob("started1-*"))) == starts
    line = "process 1 was killed by SIGKILL (often a lack of memory); another takes its place"
    assert errors.count(line) == starts - 1
    assert int(out) >= 5
    assert len(list(tmp_path.glob("ended*"))) == ended


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_its_launcher_or_is_replaced_after_a_signal(tmp_path, number):
    with family() as (mark, members), start_apart(tmp_path, "wait", mark=mark) as launcher:
        wait_for(launcher, tmp_path, "started")
        assert len(members.alive()) == 4, "and the tracker of semaphores"
        launcher.send_signal(number)
        launcher.communicate(timeout=20)
        members.await_end()
    assert launcher.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert len(list(tmp_path.glob("started*"))) == 2
