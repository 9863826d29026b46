"""Training in several processes: the same bits after a stop, the same result as in one process but for rounding."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import toy

from lib.data.batch import stack
from lib.models.heads.center import CenterObjective, CenterObjectiveConfig
from lib.runtime.process import LostProcessError, Process
from lib.runtime.seeds import seed_network
from lib.training.actor import Actor
from lib.training.replicas import Replicas

LAUNCHER = """
import sys
from functools import partial
from pathlib import Path
import toy
from lib.runtime.launch import launch
sys.exit(launch(int(sys.argv[1]), partial(toy.main, *map(Path, sys.argv[2:]))))
"""


def start(processes: int, output: Path, plan: list[dict]) -> subprocess.Popen:
    (output / "plan.json").write_text(json.dumps(plan))
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(processes), str(output), str(output / "plan.json")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def results(output: Path, count: int) -> list[dict]:
    return [json.loads((output / f"{number}.json").read_text()) for number in range(count)]


def finish(run: subprocess.Popen, code: int) -> str:
    with run:
        errors = run.communicate()[1]
    assert run.returncode == code, errors
    return errors


RECIPES = {
    "plain": {},
    "average": {"ema": 0.7},
    "fp16 and average": {"precision": "fp16", "ema": 0.7},
    "one denominator a step": {"head": "distance", "clip_norm": 1.0},
}


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "recipe"), [(3, "plain"), (2, "fp16 and average")])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, processes, recipe):
    """Stopped by a signal to the last process only, in the first step and in validation."""
    plan = [{"name": "whole", **RECIPES[recipe]}]
    for forward_pass in (1, 18 // processes):
        stop = {"stop_at": [signal.SIGTERM, forward_pass], "stop_rank": processes - 1}
        plan += [{"name": str(forward_pass), **stop, **RECIPES[recipe]}, {"name": str(forward_pass), **RECIPES[recipe]}]
    finish(start(processes, tmp_path, plan), 0)
    whole, *others = results(tmp_path, len(plan))
    assert whole["end"] == [True, 6, 0]
    for step, stopped, finished in zip((1, 3), others[::2], others[1::2], strict=True):
        assert stopped["end"] == [False, step, signal.SIGTERM]
        assert finished["end"] == [True, 6, 0]
        assert finished["left"] == whole["left"]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["average", "one denominator a step"])
def test_two_processes_compute_what_one_computes(tmp_path, recipe):
    """1 process x 4 groups and 2 processes x 2 groups, whose positives differ in number; also validation, and a stop in
    one layout that goes on in the other."""
    changes = {"global_batch": 8, **RECIPES[recipe]}
    plan = [{"name": "two", **changes}, {"name": "mixed", **changes, "stop_at": [signal.SIGTERM, 5]}]
    finish(start(2, tmp_path, plan), 128 + signal.SIGTERM)
    end, one = toy.train(tmp_path / "one", **changes)
    mixed_end, mixed = toy.train(tmp_path / "mixed", **changes)
    two = results(tmp_path, 1)[0]
    assert [*end] == two["end"] == [*mixed_end] == [True, 8, 0]
    for left in (two["left"], mixed):
        assert left.keys() == one.keys()
        assert left != one
        for name, values in one.items():
            assert torch.allclose(torch.tensor(left[name]), torch.tensor(values), rtol=1e-3, atol=1e-5), name
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("one", "two")]
    for line_of_one, line_of_two in zip(*(map(json.loads, lines) for lines in logs), strict=True):
        assert line_of_one.keys() == line_of_two.keys()
        for name in line_of_one.keys() - {"kind", "of", "lr", "pairs_per_second", "reasons"}:
            assert line_of_one[name] == pytest.approx(line_of_two[name], rel=1e-3), name
        assert sorted(line_of_one.get("reasons", ())) == sorted(line_of_two.get("reasons", ()))


@pytest.mark.slow
def test_what_goes_wrong_in_one_process_ends_all(tmp_path):
    """Sample 9 is in group 4 of the first step, so it is the second process's."""
    errors = finish(start(2, tmp_path, [{"name": "loss", "poisoned": 9}, {"name": "data", "unreadable": 9}]), 1)
    assert "killed" not in errors
    errors_of_ranks = [[(tmp_path / f"{number}.error{rank}").read_text() for rank in (0, 1)] for number in (0, 1)]
    assert errors_of_ranks[0] == [str(LostProcessError()), "step 0: loss nan in samples 8 to 9 (noise/8; noise/9)"]
    assert errors_of_ranks[1] == [str(LostProcessError()), "noise/9 is unreadable"]


@pytest.mark.slow
def test_the_launching_program_is_stopped_and_started_again(tmp_path):
    run = {"name": "run", "checkpoint_minutes": 1e-9, "epochs": 3}
    launched = start(2, tmp_path, [run])
    while not (tmp_path / "run" / "checkpoints" / "last.pth").exists():
        assert launched.poll() is None, launched.communicate()
        time.sleep(0.02)
    launched.send_signal(signal.SIGINT)
    finish(launched, 130)
    finished, step, number = results(tmp_path, 1)[0]["end"]
    assert (finished, number) == (False, signal.SIGTERM) and 0 < step < 9
    finish(start(2, tmp_path, [run]), 0)
    assert results(tmp_path, 1)[0]["end"] == [True, 9, 0]


def test_a_share_of_the_gradient_is_added():
    actor = Actor(toy.ToyTracker(), CenterObjective(CenterObjectiveConfig()))
    batch = stack([toy.ToyPairs(3).sample(number) for number in range(4)])
    replicas = Replicas(actor, Process(0, 1, torch.device("cpu")))
    seed_network(5, 0)
    actor(batch).loss.backward()
    whole = [parameter.grad.clone() for parameter in actor.parameters() if parameter.requires_grad]
    actor.zero_grad()
    for last in (False, True):
        seed_network(5, 0)
        replicas.add_gradient(batch, 0, None, lambda loss: 0.25 * loss, last)
    halves = [parameter.grad for parameter in actor.parameters() if parameter.requires_grad]
    for gradient, half in zip(whole, halves, strict=True):
        assert torch.allclose(gradient / 2, half, rtol=1e-4, atol=1e-7)
