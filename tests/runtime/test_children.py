"""Processes that end with the one that started them, and the pool that runs tasks in such."""

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

from lib.runtime.children import KilledError, Pool

ROOT = Path(__file__).parents[2]


def tenfold(number: int) -> int:
    if number < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 99:
        raise ValueError("99 is not wanted")
    return 10 * number


def prepared(_item: int) -> str | None:
    return os.environ.get("PREPARED")


def prepare() -> None:
    os.environ["PREPARED"] = "yes"


@pytest.mark.parametrize("processes", [0, 2])
def test_results_come_in_order_and_items_are_read_as_they_are_used(processes):
    read = []

    def items():
        for number in range(40):
            read.append(number)
            yield number

    with Pool(processes, "counted") as pool:
        results = pool.each(tenfold, items())
        assert next(results) == 0
        assert len(read) == (9 if processes else 1)
        assert list(results) == [10 * number for number in range(1, 40)]
        assert list(pool.each(tenfold, [7])) == [70]
        with pytest.raises(ValueError, match="99 is not wanted"):
            list(pool.each(tenfold, [98, 99]))
    assert multiprocessing.active_children() == []


def test_each_process_is_prepared():
    with Pool(1, "looked", prepare) as pool:
        assert list(pool.each(prepared, [0])) == ["yes"]
    assert "PREPARED" not in os.environ


def test_a_process_that_is_killed_is_one_line():
    line = "^a process that counted was killed .often a lack of memory.; "
    with pytest.raises(KilledError, match=line) as error, Pool(2, "counted") as pool:
        list(pool.each(tenfold, [1, -1, 2]))
    assert "\n" not in str(error.value)
    assert multiprocessing.active_children() == []


def test_an_error_ends_what_is_under_way():
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Pool(2, "slept") as pool:
        results = pool.each(time.sleep, [0, 60, 60])
        next(results)
        raise KeyboardInterrupt
    assert time.monotonic() - start < 30
    assert multiprocessing.active_children() == []


POOL = """
import time
from lib.runtime.children import Pool
if __name__ == "__main__":
    with Pool(2, "slept") as pool:
        print("started", flush=True)
        list(pool.each(time.sleep, [300] * 20))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_pool_ends_with_its_program_however_that_ends(tmp_path, number):
    program = tmp_path / "program.py"
    program.write_text(POOL)
    with family() as (mark, members):
        process = subprocess.Popen([sys.executable, program], env=os.environ | mark, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"started\n"
        members.await_count(4)  # and the tracker of semaphores
        time.sleep(0.3)
        process.send_signal(number)
        assert process.wait(20)
        members.await_end()


def test_no_other_module_starts_processes():
    """All of them are to end with their parent."""
    starters = {"multiprocessing", "subprocess", "concurrent.futures.process"}
    known = {
        "runtime/children.py",
        "runtime/launch.py",
        "data/loader.py",  # torch's workers
    }
    found = set()
    for path in (ROOT / "lib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            module = [node.module] if isinstance(node, ast.ImportFrom) else names
            if starters & set(module) or "ProcessPoolExecutor" in names:
                found.add(path.relative_to(ROOT / "lib").as_posix())
    assert found == known
