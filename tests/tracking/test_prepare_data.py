from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lib.data.datasets.registry import read_dataset

PROGRAM = Path(__file__).parents[2] / "tracking" / "prepare_data.py"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.slow
def test_a_synthetic_set_is_written_once(tmp_path: Path):
    numbers = {"train": 2, "val": 1, "frames": 20, "val-frames": 3, "seed": 1, "processes": 2}
    words = ["synthetic", "--root", tmp_path / "set", *(f"--{name}={number}" for name, number in numbers.items())]
    first, second = run(*words), run(*words)
    assert (first.returncode, first.stdout) == (0, f"{tmp_path / 'set'}: written\n")
    assert (second.returncode, second.stdout) == (0, f"{tmp_path / 'set'}: there already, left as it is\n")
    assert [len(sequence) for sequence in read_dataset("got10k", "full", tmp_path / "set")] == [20, 20]
    assert [len(sequence) for sequence in read_dataset("got10k", "official_val", tmp_path / "set")] == [3]


def test_a_folder_in_use_is_one_clear_line(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("kept")
    done = run("synthetic", "--root", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path}: ")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("words", ["synthetic", "synthetic --root x --train 0", "synthetic --root x --seed -1"])
def test_wrong_arguments_are_exit_code_2(words: str):
    assert run(*words.split()).returncode == 2
