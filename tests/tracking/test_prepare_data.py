"""prepare_data.py: what each task writes and prints, and how it ends."""

import contextlib
import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from miniatures import write_got10k
from one_sequence import read_dataset

from lib.data import checking
from lib.data.datasets.got10k import list_got10k
from lib.data.datasets.record import Dataset
from lib.data.datasets.registry import DATASETS


def test_a_folder_in_use_is_one_clear_line(call, tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    assert call("prepare_data.py", "synthetic", "--root", tmp_path).error.startswith(f"{tmp_path}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "words",
    [
        "synthetic",
        "synthetic --root x --train 0",
        "synthetic --root x --seed -1",
        "check",
        "check got10k --processes 0",
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


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_prints_and_writes_what_was_found(call, small, monkeypatch, tmp_path, number, code):
    monkeypatch.setattr(checking, "_open_one", lambda frame, quick: signal.raise_signal(number))
    words = ["--root", small, "--processes", 1, "--json", tmp_path / "a.json"]
    ended = call("prepare_data.py", "check", "got10k", *words)
    assert (ended.code, ended.errors) == (code, ["stopped"])
    assert ended.out.splitlines()[-1] == "interrupted; this is what was found until then"
    assert not json.loads((tmp_path / "a.json").read_text())["complete"]


def test_findings_are_printed_though_their_file_cannot_be_written(call, small, tmp_path):
    ended = call("prepare_data.py", "check", "got10k", "--root", small, "--processes", 1, "--json", tmp_path)
    assert (ended.code, ended.errors) == (1, [f"error: {tmp_path}: Is a directory"])
    assert ended.out.splitlines()[-1] == "nothing is wrong"


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
    frame = small / "train" / "GOT-10k_Train_000001" / "00000003.jpg"
    times = frame.stat()
    frame.write_bytes(bytes(len(frame.read_bytes())))
    os.utime(frame, ns=(times.st_atime_ns, times.st_mtime_ns))
    differs = call("prepare_data.py", *words)
    assert (differs.code, len(differs.errors)) == (1, 1)
    assert str(frame) in differs.errors[0] and "differs" in differs.errors[0]


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


def group(number: int) -> list[str]:
    """The command lines of the processes of a group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # one that has just ended
            if os.getpgid(int(folder.name)) == number and (line := (folder / "cmdline").read_text()):
                found.append(line)
    return found


@pytest.mark.slow
def test_a_synthetic_set_is_written_once_by_one_process_and_a_killed_one_leaves_none(start, call, tmp_path):
    numbers = {"train": 30, "val": 1, "frames": 20, "val-frames": 3, "seed": 1, "processes": 2}
    words = ["synthetic", "--root", tmp_path / "set", *(f"--{name}={number}" for name, number in numbers.items())]
    with start("prepare_data.py", *words) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.rglob("*.jpg")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        assert call("prepare_data.py", *words).error.startswith(f"{tmp_path / 'set'}: process {process.pid} on ")
        process.kill()
        process.communicate()
        deadline = time.monotonic() + 20
        while left := group(process.pid):
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
    first, second = call("prepare_data.py", *words), call("prepare_data.py", *words)
    assert (first.code, first.out) == (0, f"{tmp_path / 'set'}: written\n")
    assert (second.code, second.out) == (0, f"{tmp_path / 'set'}: there already, left as it is\n")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert [len(sequence) for sequence in read_dataset("got10k", "full", tmp_path / "set")] == [20] * 30
    assert [len(sequence) for sequence in read_dataset("got10k", "official_val", tmp_path / "set")] == [3]


@pytest.mark.slow
def test_a_task_that_is_stopped_is_one_line_and_can_go_on(start, call, toy_got10k, tmp_path):
    """Ctrl-C as a terminal sends it, to the whole group, while a process waits for a frame."""
    root = tmp_path / "got10k"
    shutil.copytree(toy_got10k, root)
    words = ["pack", "got10k", "--root", root, "--split", "full", "--out", tmp_path / "out"]
    frame = root / "train" / "GOT-10k_Train_000002" / "00000015.jpg"
    content = frame.read_bytes()
    frame.unlink()
    os.mkfifo(frame)
    with start("prepare_data.py", *words) as process:
        end, deadline = None, time.monotonic() + 60
        while end is None:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
            with contextlib.suppress(OSError):  # until a process opens it to read
                end = os.open(frame, os.O_WRONLY | os.O_NONBLOCK)
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.2)
        os.close(end)
        _, err = process.communicate(timeout=60)
    errors = [line for line in err.splitlines() if line[2:3] != ":"]
    assert (process.returncode, len(errors)) == (130, 1), err
    assert errors[0].startswith("stopped")
    frame.unlink()
    frame.write_bytes(content)
    ended = call("prepare_data.py", *words)
    assert ended.code == 0, ended.err
    assert [path for path in tmp_path.rglob(".*") if path.suffix in (".tmp", ".lock", ".unfinished")] == []
