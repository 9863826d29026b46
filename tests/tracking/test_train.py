"""train.py: to the end, stopped and gone on with, in several processes, and its messages about mistakes."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from family_tree import family
from same_bits import same_bits

from lib.config.yaml12 import read_yaml
from lib.data.datasets.record import Dataset
from lib.experiment.config import load_experiment, to_tree
from lib.runtime.checkpoint import read_checkpoint

PROGRAM = Path(__file__).parents[2] / "tracking" / "train.py"


def log(run: Path) -> list[dict]:
    file = run / "log.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.mark.slow
def test_a_run_leaves_configuration_log_curves_and_checkpoints(trained):
    toy, ended = trained
    run = toy.output / "toy"
    assert ended.code == 0, ended.err
    assert read_yaml(run / "config.yaml") == to_tree(load_experiment(toy.file))
    assert [line["step"] for line in log(run) if line["kind"] == "train"] == list(range(1, 41))
    assert [line["step"] for line in log(run) if line["kind"] == "validation"] == [20, 40]
    assert len(list((run / "tensorboard").iterdir())) == 1
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        "epoch_0001.pth", "epoch_0002.pth", "last.pth",
    ]  # fmt: skip
    assert "epoch 2/2, step 40/40: loss " in ended.err
    assert ended.out == ""


def wait_for_step(process: subprocess.Popen[str], run: Path, step: int) -> None:
    while not any(line["step"] >= step for line in log(run)):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


@pytest.mark.slow
def test_a_run_stopped_by_each_signal_goes_on_to_the_same_bits(trained, start):
    toy, _ = trained
    run = toy.output / "stopped"
    for number, step in ((signal.SIGINT, 2), (signal.SIGTERM, 21), (None, 40)):
        with start("train.py", "--config", toy.file, "--name", "stopped") as process:
            if number is not None:
                wait_for_step(process, run, step)
                process.send_signal(number)
            err = process.communicate()[1]
        assert process.returncode == (128 + number if number else 0), err
        assert "Traceback" not in err
        if number is not None:
            assert "stopped at step " in err
            assert "run the same command to continue" in err
            assert log(run)[-1]["step"] < 40
    assert same_bits(run, toy.output / "toy")
    assert [line["step"] for line in log(run) if line["kind"] == "train"] == list(range(1, 41))


@pytest.mark.slow
def test_two_processes_by_nproc_or_by_torchrun(trained, run, environment):
    toy, _ = trained
    words = ["--config", toy.file, "data.samples_per_epoch=8", "train.epochs=1"]
    ended = run("train.py", "--nproc=2", *words, "--name", "nproc")
    assert ended.code == 0, ended.err
    assert ended.err.count("processes: 2, groups that each takes a step (accumulation): 1") == 1
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", PROGRAM]
    command = [*map(str, (*torchrun, *words, "--name", "torchrun"))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert same_bits(toy.output / "nproc", toy.output / "torchrun")
    first = log(toy.output / "nproc")[0]
    assert first["loss"] == pytest.approx(log(toy.output / "toy")[0]["loss"], rel=1e-5)
    assert read_checkpoint(toy.output / "nproc" / "checkpoints" / "last.pth")["processes"] == 2


@pytest.mark.slow
def test_a_run_has_its_folder_to_itself_and_a_killed_one_leaves_no_process(trained, run, environment):
    toy, _ = trained
    words = ["--config", toy.file, "--name", "alone", "--nproc=2", "train.epochs=1000", "data.workers=1"]
    folder = toy.output / "alone"
    command = [sys.executable, PROGRAM, *words]
    with family() as (mark, members), subprocess.Popen(
        command, env=environment | mark, stderr=subprocess.PIPE, text=True
    ) as first:  # fmt: skip
        wait_for_step(first, folder, 2)
        second = run("train.py", *words, "train.optimizer.lr=1e-5")
        assert second.code == 1
        (line,) = [line for line in second.errors if not line.startswith("error: another process")]
        assert re.match(f"error: {folder}: process [0-9]+ on {socket.gethostname()} since .* is writing it;", line)
        assert "--name" in line and first.poll() is None
        first.kill()
        first.communicate()
        members.await_end(40)
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as again:
        step = log(folder)[-1]["step"]
        wait_for_step(again, folder, step + 5)
        again.terminate()
        assert "Traceback" not in again.communicate()[1]
    assert again.returncode == 143
    assert list(folder.rglob(".*")) == []


@pytest.mark.slow
def test_without_stderr_a_run_trains_all_the_same(trained, environment):
    toy, _ = trained
    words = ["--config", toy.file, "--name", "mute", "data.workers=1", "data.samples_per_epoch=8"]
    command = ["sh", "-c", 'exec "$0" "$@" 2>&-', *map(str, (sys.executable, PROGRAM, *words))]
    assert subprocess.run(command, env=environment).returncode == 0
    assert log(toy.output / "mute")[-1]["step"] == 4


@pytest.mark.slow
def test_a_mistake_is_told_without_a_traceback_by_the_program_itself(run, environment, tmp_path):
    ended = run("train.py", "--config", "grm_tiny", "train.epoch=3")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "error: command line: train.epoch: got 3; unknown key; did you mean epochs?\n"


# In this process


@pytest.mark.slow
def test_an_output_folder_that_cannot_be_written_is_one_line_with_the_remedy(call, toy):
    toy.output.write_text("no folder")
    error = call("train.py", "--config", toy.file).error
    assert str(toy.output) in error and "output and cache in paths.yaml" in error


@pytest.mark.slow
def test_overfitting_is_a_smoke_run_beside_the_real_one(call, toy):
    assert call("train.py", "--config", toy.file, "--overfit", "train.epochs=1").code == 0
    assert [path.name for path in (toy.output / "toy").iterdir()] == ["overfit"]
    assert [line["step"] for line in log(toy.output / "toy" / "overfit") if line["kind"] == "train"] == [1, 2]


def test_a_list_shorter_than_a_published_split_names_full(call, toy):
    error = call("train.py", "--config", toy.file, "data.train=[{name: got10k, split: vot_train}]").error
    assert "list.txt: names 3 sequences, but split 'vot_train' needs" in error
    assert "'full'" in error


def test_devices_that_are_not_there(call, toy):
    for device in ("abacus", "cuda:77"):
        assert call("train.py", "--config", toy.file, "--device", device).error.startswith(f"device {device!r} ")


@pytest.mark.parametrize("words", [
    "",
    "--config grm_tiny --nproc 0",
    "--config grm_tiny --nproc two",
    "--config grm_tiny --npro 2",
    "--config grm_tiny --gpus 2",
])  # fmt: skip
def test_wrong_arguments_are_exit_code_2(call, words):
    assert call("train.py", *words.split()).code == 2


def test_ctrl_c_before_the_first_step_is_no_traceback(call, toy, monkeypatch, tmp_path):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lib.data.datasets.registry.DATASETS", {"got10k": Dataset("got10k", interrupted, ("full",))})
    monkeypatch.setenv("TRACKING_CACHE", str(tmp_path / "cache"))  # no index is there yet: the reader will be asked
    ended = call("train.py", "--config", toy.file)
    assert ended.code == 130
    assert ended.errors == ["stopped before the first step"]
