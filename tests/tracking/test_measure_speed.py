"""measure_speed.py: both plans at toy size, a machine without a GPU, and the checks for a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lib.profiling.plans import PLANS

CHECKS = Path(__file__).parents[1] / "gpu"


def test_without_a_gpu_there_is_nothing_to_measure(call, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    ended = call("measure_speed.py", "gpu")
    assert ended.code == 0 and len(ended.out.splitlines()) == 1 and "no CUDA" in ended.out


def test_a_wrong_plan_is_exit_code_2(call):
    assert call("measure_speed.py", "tpu").code == 2


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS)
def test_every_step_at_toy_size(run, tmp_path, plan):
    ended = run("measure_speed.py", plan, "--toy", "--output", tmp_path)
    assert ended.code == 0, ended.out + ended.err
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["failed"] == []
    assert all("bf16" in line for line in content["left_out"])  # which a processor may lack
    assert list(content["parts"]) == [part.title for part in PLANS[plan].parts]
    assert ended.out.startswith((tmp_path / "report.txt").read_text()[:-1])


@pytest.mark.slow
def test_the_checks_for_a_gpu_hold_on_the_cpu():
    """As `make gpu` runs them; checks of CUDA's own abilities are skipped."""
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "gpu", str(CHECKS)],
        env={**os.environ, "TRACKING_GPU_TESTS_ON": "cpu"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    assert " passed" in ended.stdout and "failed" not in ended.stdout
