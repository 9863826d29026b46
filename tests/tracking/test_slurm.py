"""The batch scripts of docs/slurm.md, with stand-ins for Slurm's commands, on two "nodes" of this machine."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from same_bits import same_bits

ROOT = Path(__file__).parents[2]
TRAIN, TEST = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / "slurm.md").read_text(encoding="utf-8"), re.DOTALL)
# Runs the command of srun once a node, all at the same time, and fails if one of them fails.
SRUN = """#!/bin/bash
while [[ "$1" == --* ]]; do shift; done
for node in 0 1; do SLURM_NODEID=$node "$@" & tasks="$tasks $!"; done
for task in $tasks; do wait "$task" || failed=$?; done
exit ${failed:-0}
"""


@pytest.fixture(scope="module")
def batch(environment, tmp_path_factory):
    """``(script, *words) -> CompletedProcess``: what sbatch would run on two nodes with a process each."""
    folder = tmp_path_factory.mktemp("slurm")
    for name, text in (("srun", SRUN), ("scontrol", "#!/bin/bash\necho 127.0.0.1\necho 127.0.0.1\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    slurm = {"JOB_ID": str(os.getpid()), "JOB_NUM_NODES": "2", "JOB_NODELIST": "127.0.0.1", "GPUS_ON_NODE": "1"}
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    variables = environment | {"PATH": path} | {f"SLURM_{name}": value for name, value in slurm.items()}

    def run(script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
        command = ["bash", "-c", script, "batch", *map(str, words)]
        return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=300)

    return run


@pytest.mark.slow
def test_two_nodes_train_as_two_processes_of_one_machine(batch, trained, run):
    toy, _ = trained
    words = ["--config", toy.file, "data.samples_per_epoch=8", "train.epochs=1"]
    done = batch(TRAIN, *words, "--name", "nodes")
    assert done.returncode == 0, done.stderr
    assert run("train.py", "--nproc=2", *words, "--name", "one_node").code == 0
    assert same_bits(toy.output / "nodes", toy.output / "one_node")


@pytest.mark.slow
def test_two_nodes_test_one_benchmark(batch, trained):
    toy, _ = trained
    results = toy.output / "toy" / "results" / "got10k_val"
    earlier = set(results.glob("*"))  # of tests with the same run
    words = ("--config", toy.file, "--dataset", "got10k_val", "--device", "cpu", "test.tracker.clip_margin=7")
    done = batch(TEST, *words)
    assert done.returncode == 0, done.stderr
    (folder,) = set(results.iterdir()) - earlier
    assert (folder / "score.json").exists()
    assert not list(folder.glob("*.claim"))
