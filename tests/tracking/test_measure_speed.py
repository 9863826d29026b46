"""measure_speed.py: both plans at toy size, the checks for a GPU among them, and a machine without one."""

from __future__ import annotations

import json

import pytest
import torch

from lib.profiling.plans import PLANS


def test_without_a_gpu_there_is_nothing_to_measure(call, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    ended = call("measure_speed.py", "gpu")
    assert ended.code == 0 and len(ended.out.splitlines()) == 1 and "no CUDA" in ended.out


def test_a_wrong_plan_is_exit_code_2(call):
    assert call("measure_speed.py", "tpu").code == 2


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS)
def test_every_step_at_toy_size(run, tmp_path, plan):
    """On the CPU the checks show that they themselves hold; what CUDA alone can do is skipped."""
    ended = run("measure_speed.py", plan, "--toy", "--output", tmp_path)
    assert ended.code == 0, ended.out + ended.err
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["failed"] == []
    assert all("bf16" in line for line in content["left_out"])  # which a processor may lack
    assert list(content["parts"]) == [part.title for part in PLANS[plan].parts]
    assert ended.out.startswith((tmp_path / "report.txt").read_text()[:-1]) or PLANS[plan].tested
    if PLANS[plan].tested:
        assert content["tests"]["failed"] == 0 and content["tests"]["passed"] > 50
