"""prepare_data.py: what each task writes and prints, and how it ends."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from miniatures import write_got10k
from one_sequence import read_dataset

from lib.data import checking
from lib.data.datasets.got10k import list_got10k
from lib.data.datasets.record import Dataset
from lib.data.datasets.registry import DATASETS


def test_a_synthetic_set_is_written_once(call, tmp_path):
    numbers = {"train": 2, "val": 1, "frames": 20, "val-frames": 3, "seed": 1, "processes": 1}
    words = ["synthetic", "--root", tmp_path / "set", *(f"--{name}={number}" for name, number in numbers.items())]
    first, second = call("prepare_data.py", *words), call("prepare_data.py", *words)
    assert (first.code, first.out) == (0, f"{tmp_path / 'set'}: written\n")
    assert (second.code, second.out) == (0, f"{tmp_path / 'set'}: there already, left as it is\n")
    assert [len(sequence) for sequence in read_dataset("got10k", "full", tmp_path / "set")] == [20, 20]
    assert [len(sequence) for sequence in read_dataset("got10k", "official_val", tmp_path / "set")] == [3]


def test_a_folder_in_use_is_one_clear_line(call, tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    assert call("prepare_data.py", "synthetic", "--root", tmp_path).error.startswith(f"{tmp_path}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "words",
    [
        "synthetic",
        "synthetic --root x --train 0",
        "check got10k --root a --paths b",
        "pack got10k",
        "crops got10k --out x",
        "crops got10k --out x --config y --every 0",
    ],
)
def test_wrong_arguments_are_exit_code_2(call, words):
    assert call("prepare_data.py", *words.split()).code == 2


@pytest.fixture
def small(tmp_path, monkeypatch) -> Path:
    """A GOT-10k of two sequences with nothing wrong."""
    monkeypatch.setitem(
        DATASETS, "got10k", Dataset("got10k", list_got10k, ("full", "official_val"), expected={"full": 2})
    )
    return write_got10k(tmp_path / "got10k", "train", [4, 3])


def test_check_of_a_good_set(call, small):
    ended = call("prepare_data.py", "check", "got10k", "--root", small, "--processes", 1)
    assert (ended.code, ended.errors) == (0, [])
    assert ended.out.splitlines()[:3] == [
        f"got10k in {small}",
        "split  found  expected  images",
        "full       2         2       7",
    ]
    assert ended.out.splitlines()[-1] == "nothing is wrong"


def test_check_of_a_damaged_set_is_1_and_all_of_it_stands_in_the_json(call, small, tmp_path):
    (small / "train" / "GOT-10k_Train_000002" / "00000001.jpg").write_bytes(b"")
    file = tmp_path / "new" / "report.json"
    words = ["check", "got10k", "--root", small, "--split", "full", "--json", file, "--processes", 1]
    ended = call("prepare_data.py", *words)
    assert (ended.code, ended.errors) == (1, [])
    assert "full: images that cannot be read: 1\n  GOT-10k_Train_000002: " in ended.out
    (split,) = json.loads(file.read_text())["splits"]
    assert [problem["kind"] for problem in split["problems"]] == ["unreadable"]


def test_check_finds_the_set_by_paths_yaml(call, toy_got10k, tmp_path):
    ended = call("prepare_data.py", "check", "got10k", "--split", "full", "official_val", "--quick", "--processes", 1)
    assert ended.code == 1  # not the whole of GOT-10k
    assert ended.out.splitlines()[0] == f"got10k in {toy_got10k}"
    assert "full: sequences too few or too many: 9332\n  3 are listed, the official split has 9335" in ended.out
    file = tmp_path / "other.yaml"
    file.write_text("data: {lasot: nowhere}\n")
    error = call("prepare_data.py", "check", "lasot", "--paths", file).error
    assert f"data.lasot: no such folder: {tmp_path / 'nowhere'}" in error


def test_check_of_masks_in_the_folder_of_paths_yaml(call, tmp_path):
    file = tmp_path / "paths.yaml"
    file.write_text("masks: {got10k: masks}\n")
    words = ["check", "got10k", "--paths", file, "--split", "official_val", "--processes", "1", "--quick"]
    good, ended = call("prepare_data.py", *words), call("prepare_data.py", *words, "--masks")
    assert "without a mask" not in good.out
    assert ended.code == 1 and "official_val: visible targets without a mask: " in ended.out


def test_samples_of_an_experiment_are_drawn(call, toy, tmp_path):
    words = ["samples", "--config", toy.file, "--out", tmp_path / "a.png", "--first", "5", "--count", "2"]
    ended = call("prepare_data.py", *words, "data.flip=0.0")
    assert ended.code == 0, ended.errors
    assert [line.split()[:2] for line in ended.out.splitlines()] == [["5", "got10k"], ["6", "got10k"]]
    assert (tmp_path / "a.png").exists()


def test_ctrl_c_prints_what_was_found(call, small, monkeypatch):
    def interrupted(frame, quick):
        raise KeyboardInterrupt

    monkeypatch.setattr(checking, "_open_one", interrupted)
    ended = call("prepare_data.py", "check", "got10k", "--root", small, "--processes", 1)
    assert (ended.code, ended.errors) == (130, ["stopped"])
    assert ended.out.splitlines()[-1] == "interrupted; this is what was found until then"


@pytest.mark.slow
def test_pack_and_check_the_packed_set(call, small, tmp_path):
    words = ["pack", "got10k", "--root", small, "--out", tmp_path / "packed", "--verify"]
    ended = call("prepare_data.py", *words)
    assert (ended.code, ended.errors) == (0, [])
    packed, verified = ended.out.splitlines()
    assert packed.startswith(f"{tmp_path / 'packed'}: got10k full (2 sequences), ")
    assert verified == f"{tmp_path / 'packed'}: every file is as it is in {small}"
    again = call("prepare_data.py", *words)
    assert again.code == 0 and "packed before" in again.out
    checked = call("prepare_data.py", "check", "got10k", "--root", tmp_path / "packed", "--processes", 1)
    assert (checked.code, checked.out.splitlines()[-1]) == (0, "nothing is wrong")


@pytest.mark.slow
def test_a_packed_set_that_differs_is_1(call, small, tmp_path):
    call("prepare_data.py", "pack", "got10k", "--root", small, "--split", "full", "--out", tmp_path / "packed")
    frame = small / "train" / "GOT-10k_Train_000001" / "00000003.jpg"
    times = frame.stat()
    frame.write_bytes(bytes(len(frame.read_bytes())))
    os.utime(frame, ns=(times.st_atime_ns, times.st_mtime_ns))
    words = ["--root", small, "--split", "full", "--out", tmp_path / "packed", "--verify"]
    ended = call("prepare_data.py", "pack", "got10k", *words)
    assert ended.code == 1
    assert len(ended.errors) == 1 and str(frame) in ended.errors[0] and "differs" in ended.errors[0]


def test_crops_of_what_an_experiment_trains_on(call, toy, toy_got10k, tmp_path):
    words = ["crops", "got10k", "--config", toy.file, "--out", tmp_path / "crops", "--processes", 1]
    ended = call("prepare_data.py", *words)
    assert (ended.code, ended.errors) == (0, [])
    assert ended.out.startswith(f"{tmp_path / 'crops' / 'full'}: written\n")
    assert [path.name for path in (tmp_path / "crops").iterdir()] == ["full"]
    again = call("prepare_data.py", *words, "--split", "full")
    assert again.code == 0 and "there already" in again.out
    assert str(tmp_path / "crops" / "full") in call("prepare_data.py", *words, "--every", 7).error


@pytest.mark.parametrize(("words", "message"), [
    ("check got10", "unknown dataset 'got10'; did you mean got10k?"),
    ("check got10k --root nowhere", "nowhere: no such folder; name the folder of got10k"),
    ("check got10k --split vall", "got10k has no split 'vall'"),
    ("check coco", "data.coco: not set"),
    ("pack got10k --root nowhere --split full --out x", "nowhere: no such folder"),
    ("pack got10k --root nowhere --out x", "no split of got10k lies there"),
    ("crops coco --config grm_tiny --root . --out x", "grm_tiny does not train on coco but on got10k"),
    ("crops got10k --config nothing --out x", "nothing"),
])  # fmt: skip
def test_mistakes_are_one_line(call, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert message in call("prepare_data.py", *words.split()).error
    assert list(tmp_path.iterdir()) == []


def readers(file: Path, group: int) -> list[int]:
    """The processes of a group that have a file open."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # one that has just ended
            if os.getpgid(int(folder.name)) == group:
                found += [int(folder.name) for link in folder.glob("fd/*") if os.readlink(link) == str(file)]
    return found


@contextlib.contextmanager
def waiting_for(frame: Path, start, words: list) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A task of which a process waits for a frame, and the file whose closing ends that wait."""
    frame.unlink()
    os.mkfifo(frame)
    end = os.open(frame, os.O_RDWR)
    with start("prepare_data.py", *words) as process:
        deadline = time.monotonic() + 60
        while not readers(frame, process.pid):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        yield process, end


def group(number: int) -> list[str]:
    """The command lines of the processes of a group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # one that has just ended
            if os.getpgid(int(folder.name)) == number and (line := (folder / "cmdline").read_text()):
                found.append(line)
    return found


@pytest.mark.slow
def test_a_killed_task_leaves_no_process_and_can_go_on(start, call, toy, toy_got10k, tmp_path):
    """While it waits for a frame, for ever."""
    root = tmp_path / "got10k"
    shutil.copytree(toy_got10k, root)
    words = ["crops", "got10k", "--root", root, "--split", "full", "--processes", 2]
    words += ["--out", tmp_path / "out", "--config", toy.file]
    frame = root / "train" / "GOT-10k_Train_000002" / "00000015.jpg"
    content = frame.read_bytes()
    with waiting_for(frame, start, words) as (process, end):
        process.kill()
        process.communicate()
        await_no_process(process.pid)
        os.close(end)
    frame.unlink()
    frame.write_bytes(content)
    assert call("prepare_data.py", *words).code == 0
    assert [path for path in tmp_path.rglob(".*") if path.suffix in (".tmp", ".lock", ".unfinished")] == []


@pytest.mark.slow
def test_a_killed_synthetic_set_leaves_no_process_and_starts_again_and_two_are_refused(start, call, tmp_path):
    words = ["synthetic", "--root", tmp_path / "set", "--train", 20, "--val", 1, "--val-frames", 9, "--processes", 2]
    with start("prepare_data.py", *words) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.rglob("*.jpg")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        assert f"{tmp_path / 'set'}: process {process.pid} on " in call("prepare_data.py", *words).error
        process.kill()
        process.communicate()
        await_no_process(process.pid)
    words[-1] = 1
    assert call("prepare_data.py", *words).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def await_no_process(number: int) -> None:
    deadline = time.monotonic() + 20
    while left := group(number):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


@pytest.mark.slow
def test_a_task_that_is_stopped_is_one_line_and_can_go_on(start, call, toy_got10k, tmp_path):
    """Ctrl-C as a terminal sends it, to the whole group, while a process waits for a frame."""
    root = tmp_path / "got10k"
    shutil.copytree(toy_got10k, root)
    words = ["pack", "got10k", "--root", root, "--split", "full", "--out", tmp_path / "out"]
    frame = root / "train" / "GOT-10k_Train_000002" / "00000015.jpg"
    content = frame.read_bytes()
    with waiting_for(frame, start, words) as (process, end):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.2)
        os.close(end)
        out, err = process.communicate(timeout=60)
    errors = [line for line in err.splitlines() if line[2:3] != ":"]
    assert (process.returncode, len(errors)) == (130, 1), err
    assert errors[0].startswith("stopped")
    frame.unlink()
    frame.write_bytes(content)
    assert call("prepare_data.py", *words).code == 0
