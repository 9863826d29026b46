"""Training in several processes: the same bits after a stop, the same result as in one process but for rounding."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

LAUNCHER = "import sys; from lib.runtime.launch import launch; sys.exit(launch(int(sys.argv[1]), sys.argv[2:]))"


def start(processes: int, output: Path, plan: list[dict]) -> subprocess.Popen:
    (output / "plan.json").write_text(json.dumps(plan))
    program = Path(__file__).with_name("toy.py")
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(processes), str(program), str(output), str(output / "plan.json")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def results(output: Path, count: int) -> list[dict]:
    return [json.loads((output / f"{number}.json").read_text()) for number in range(count)]


def finish(run: subprocess.Popen, code: int) -> str:
    with run:
        errors = run.communicate()[1]
    assert run.returncode == code, errors
    return errors


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, processes):
    """Stopped by a signal to the last process only, between groups of a step, between steps, and in validation."""
    plan = [{"name": "whole"}]
    for forward_pass in (1, 6 // processes + 1, 18 // processes):
        stop = {"stop_at": [signal.SIGTERM, forward_pass], "stop_rank": processes - 1}
        plan += [{"name": str(forward_pass), **stop}, {"name": str(forward_pass)}]
    finish(start(processes, tmp_path, plan), 0)
    whole, *others = results(tmp_path, len(plan))
    assert whole["end"] == [True, 6, 0]
    for stopped, finished in zip(others[::2], others[1::2], strict=True):
        assert stopped["end"][0] is False
        assert stopped["end"][2] == signal.SIGTERM
        assert finished["end"] == [True, 6, 0]
        assert finished["left"] == whole["left"]


@pytest.mark.slow
def test_two_processes_compute_what_one_computes(toy, tmp_path):
    """1 process x 4 groups and 2 processes x 2 groups, whose positives differ in number; also validation, and a stop in
    one layout that goes on in the other."""
    stop = {"stop_at": [signal.SIGTERM, 5]}
    plan = [{"name": "two", "global_batch": 8}, {"name": "mixed", "global_batch": 8, **stop}]
    finish(start(2, tmp_path, plan), 128 + signal.SIGTERM)
    end, one = toy.train(tmp_path / "one", global_batch=8)
    mixed_end, mixed = toy.train(tmp_path / "mixed", global_batch=8)
    two = results(tmp_path, 1)[0]
    assert [*end] == two["end"] == [*mixed_end] == [True, 8, 0]
    for left in (two["left"], mixed):
        assert left != one
        for name, values in one.items():
            assert torch.allclose(torch.tensor(left[name]), torch.tensor(values), rtol=1e-3, atol=1e-5), name
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("one", "two")]
    for line_of_one, line_of_two in zip(*(map(json.loads, lines) for lines in logs), strict=True):
        for name in ("step", "epoch", "loss", "giou", "focal", "iou", "inverted", "share_a"):
            assert line_of_one[name] == pytest.approx(line_of_two[name], rel=1e-3)


@pytest.mark.slow
def test_one_processs_bad_loss_is_every_processs_error(tmp_path):
    """Sample 45 is in step 3, group 4, so it is the second process's."""
    finish(start(2, tmp_path, [{"name": "run", "poisoned": 45}]), 1)
    told = {(tmp_path / f"error{rank}").read_text() for rank in (0, 1)}
    assert told == {"step 3: loss nan in samples 44 to 45 (noise/44; noise/45)"}


@pytest.mark.slow
def test_the_launching_program_is_stopped_and_started_again(tmp_path):
    plan = [{"name": "run", "epochs": 12, "checkpoint_minutes": 1e-9}]
    last = tmp_path / "run" / "checkpoints" / "last.pth"
    steps = [0]
    for number in (signal.SIGINT, signal.SIGTERM):
        before = last.exists() and last.stat().st_mtime_ns
        run = start(2, tmp_path, plan)
        while not last.exists() or last.stat().st_mtime_ns == before:
            assert run.poll() is None, run.communicate()
            time.sleep(0.02)
        run.send_signal(number)
        finish(run, 128 + number)
        finished, step, received = results(tmp_path, 1)[0]["end"]
        assert not finished
        assert received == number
        steps.append(step)
    assert steps[0] < steps[1] < steps[2] < 36
    finish(start(2, tmp_path, plan), 0)
    again = results(tmp_path, 1)[0]
    finish(start(2, tmp_path, [{**plan[0], "name": "unstopped"}]), 0)
    assert again == results(tmp_path, 1)[0]
