"""A small part of `make torture`, and that it finds faults where there are some."""

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import pytest
from torture import kills, mutations
from torture.content import digest
from torture.kills import JOBS, Job, Torture, write_sources
from torture.mutations import Target, make_targets, mutate
from torture.table import Table

# A program that leaves a process and a file when it is killed, and whose result tells how often it was.
FAULTY = """
import os, pathlib, subprocess, sys
place = pathlib.Path(sys.argv[1])
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
part = place / f"part-{os.getpid()}"
part.write_text(str(len(list(place.glob("part-*")))))
os.rename(part, place / "done")
child.kill()
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """With a short name (see ``Torture._place``), in it what the jobs read."""
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        write_sources(Path(name, "sources"))
        yield Path(name)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("train", 1), ("crops", 2), ("video", 3)])
def test_programs_that_are_killed_leave_nothing_and_go_on_to_equal_results(folder, name, count):
    [job] = [job for job in JOBS if job.name == name]
    torture = Torture(folder, folder / "sources", seed=0)
    torture.run(job._replace(words=job.words.replace("samples_per_epoch=600", "samples_per_epoch=80")), count)
    assert torture.table.faults == []
    assert torture.table.total("resumed equal") == torture.table.total("kills") > 0


@pytest.mark.slow
def test_damaged_files_are_refused_or_read_equally(tmp_path):
    table = Table(mutations.HEADS)
    mutations.torture(make_targets(tmp_path), 0, 4, table)
    assert table.faults == []
    assert table.total("refused") > 0 and table.total("equal") > 0


def test_a_program_that_breaks_its_promises_is_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(kills, "TO_BE_GONE", 0.2)
    (tmp_path / "faulty.py").write_text(FAULTY)
    torture = Torture(tmp_path / "runs", tmp_path, seed=0)
    # Its second change of three, since the file is opened before it is renamed.
    torture.run(Job("faulty", f"{tmp_path / 'faulty.py'} {{place}}", ("change",)), 3)
    assert torture.table.total("kills") == 3
    for head in ("processes", "files", "unequal"):
        assert torture.table.total(head) > 0, torture.table.text()


def test_equal_seeds_make_equal_mutations_at_the_places_asked_for():
    content = bytes(range(256))
    draws = [random.Random(seed) for seed in (1, 1, 2)]
    made = [[mutate(content, [range(10, 20)], one) for _ in range(3)] for one in draws]
    assert made[0] == made[1] != made[2]
    assert all(damaged[:10] == content[:10] and damaged != content for _, damaged in made[0])


@pytest.mark.parametrize(("read", "found"), [
    (lambda content: content, "gives something else"),
    (lambda content: os.kill(os.getpid(), SIGKILL), "killed by SIGKILL"),
    (lambda content: [].pop(), "raises IndexError"),
    (lambda content: int("x"), "unclear: ValueError"),
    (lambda content: bytearray(2**40), "raises MemoryError"),
])  # fmt: skip
def test_a_reader_that_breaks_its_promise_is_found_out(tmp_path, read, found):
    (tmp_path / "file").write_bytes(bytes(40))

    def reader() -> str:
        content = (tmp_path / "file").read_bytes()
        return digest(content if content == bytes(40) else read(content))

    table = Table(mutations.HEADS)
    mutations.torture([Target("toy", tmp_path / "file", {"all": [range(40)]}, reader)], 0, 3, table)
    assert (table.total("mutations"), table.total("wrong")) == (3, 3)
    assert all(found in fault for fault in table.faults)
    assert (tmp_path / "file").read_bytes() == bytes(40)
