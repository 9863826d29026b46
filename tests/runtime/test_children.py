"""Processes that end with the one that started them."""

import ast
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from family_tree import family

from lib.runtime.children import KilledError, Processes

ROOT = Path(__file__).parents[2]


def tenfold(number: int) -> int:
    if number < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * number


def prepared(_item: int) -> str | None:
    return os.environ.get("PREPARED")


def prepare() -> None:
    os.environ["PREPARED"] = "yes"


def test_each_process_is_prepared():
    with Processes(1, prepare) as processes:
        assert list(processes.map(prepared, [0])) == ["yes"]
    assert "PREPARED" not in os.environ
    assert multiprocessing.active_children() == []


def test_a_process_that_is_killed_is_one_line():
    line = "^a process was killed .often a lack of memory.; "
    with pytest.raises(KilledError, match=line) as error, Processes(2) as processes:
        list(processes.map(tenfold, [1, -1, 2]))
    assert "\n" not in str(error.value)
    assert multiprocessing.active_children() == []


def test_an_error_ends_the_tasks_that_run():
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Processes(2) as processes:
        results = processes.map(time.sleep, [0, 60, 60])
        next(results)
        raise KeyboardInterrupt
    assert time.monotonic() - start < 30
    assert multiprocessing.active_children() == []


PROGRAM = """
import time
from lib.runtime.children import Processes
if __name__ == "__main__":
    with Processes(2) as processes:
        print("started", flush=True)
        list(processes.map(time.sleep, [300] * 20))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_their_program_however_that_ends(tmp_path, number):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with family() as (mark, members):
        process = subprocess.Popen([sys.executable, program], env=os.environ | mark, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"started\n"
        members.await_count(4)  # and the tracker of semaphores
        time.sleep(0.3)
        process.send_signal(number)
        assert process.wait(20)
        members.await_end()


@pytest.mark.slow
def test_no_other_module_starts_processes():
    """All of them are to end with their parent."""
    starters = {"multiprocessing", "subprocess", "concurrent.futures.process"}
    known = {
        "runtime/children.py",
        "runtime/launch.py",
        "runtime/program.py",  # looks for its parent
        "data/loader.py",  # torch's workers
        "evaluation/running/runner.py",  # a pipe to processes that others start
    }
    found = set()
    for path in (ROOT / "lib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            module = [node.module] if isinstance(node, ast.ImportFrom) else names
            if starters & set(module) or "ProcessPoolExecutor" in names:
                found.add(path.relative_to(ROOT / "lib").as_posix())
    assert found == known
