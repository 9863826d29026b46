"""measure_speed.sh: its commands are valid, a part that fails leaves the others. And the checks for a GPU."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lib.experiment.config import load_experiment
from lib.profiling.forms import Form

ROOT = Path(__file__).parents[2]
CHECKS = ROOT / "tests" / "gpu"
# In place of Python: prints its arguments; ends with CODE for the part of that name.
STUB = """#!/bin/sh
case "$1" in -c) exit ${CUDA:-0};; esac
echo "ran $*"
case "$*" in *$FAILING.json*) exit $CODE;; esac
"""


def measure(kind: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    stub = folder / "python"
    stub.write_text(STUB)
    stub.chmod(0o755)
    variables = {"PYTHON": str(stub), "FAILING": "none", "CODE": "0"} | variables
    command = ["sh", str(ROOT / "tracking" / "measure_speed.sh"), kind, str(folder / "out")]
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("kind", "parts"), [("cpu", 6), ("gpu", 5)])
def test_every_command_is_one_of_profile_model(call, tmp_path, monkeypatch, kind, parts):
    ended = measure(kind, tmp_path)
    assert ended.returncode == 0, ended.stderr
    report = (tmp_path / "out" / "report.txt").read_text()
    assert ended.stdout == f"{report}report: {tmp_path / 'out' / 'report.txt'}\n"
    commands = [shlex.split(line)[2:] for line in report.splitlines() if line.startswith("ran ")]
    assert len(commands) == parts
    measured = []

    def profile(names, overrides, device, wanted, file):
        measured.append([load_experiment(name) for name in names])
        assert wanted.frames or wanted.engine or wanted.training
        assert all(isinstance(form, Form) for form in wanted.forms) and overrides == []
        raise ValueError(device)

    monkeypatch.setattr("lib.profiling.models.profile_models", profile)
    for words in commands:
        assert call("profile_model.py", *words).errors == [f"error: {'cuda' if kind == 'gpu' else 'cpu'}"]
    assert len(measured) == parts and all(measured)


def test_a_part_that_fails_leaves_the_others(tmp_path):
    ended = measure("gpu", tmp_path, FAILING="training", CODE="1")
    assert ended.returncode == 1
    assert ended.stdout.count("ran ") == 5 and "FAILED training: exit code 1\n" in ended.stdout


def test_a_stop_ends_all(tmp_path):
    ended = measure("gpu", tmp_path, FAILING="training", CODE="130")
    assert ended.returncode == 130 and ended.stdout.count("ran ") == 2


def test_without_a_gpu_there_is_nothing_to_measure(tmp_path):
    ended = measure("gpu", tmp_path, CUDA="1")
    assert (ended.returncode, ended.stdout) == (0, "PyTorch sees no CUDA here, so there is nothing to measure\n")


def test_a_wrong_word_is_exit_code_2(tmp_path):
    assert measure("tpu", tmp_path).returncode == 2


@pytest.mark.slow
def test_the_checks_for_a_gpu_hold_on_the_cpu():
    """As `make gpu` runs them; checks of CUDA's own abilities are skipped."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "gpu", str(CHECKS)],
        env={**os.environ, "TRACKING_GPU_TESTS_ON": "cpu"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    assert " passed" in ended.stdout and "failed" not in ended.stdout
