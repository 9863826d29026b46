"""test.py: what a test of a tracker leaves, what it keeps, and its messages about damaged data and checkpoints."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from toy_experiment import write_checkpoint, write_experiment

from lib.evaluation.results.folder import ResultsFolder
from lib.evaluation.running.claims import Claims
from lib.experiment.config import load_experiment, to_tree
from lib.inference.recovery import PATIENCE

FIRST, SECOND = "GOT-10k_Val_000001", "GOT-10k_Val_000002"
DATASET = ["--dataset", "got10k_val"]


def results(run: Path) -> dict[str, Path]:
    """The folders of a run's results on the toy benchmark, by label."""
    return {path.name.rpartition("-")[0]: path for path in sorted((run / "results" / "got10k_val").iterdir())}


def boxes(folder: Path, name: str) -> np.ndarray:
    return np.loadtxt(folder / f"{name}.txt", delimiter=",")


@pytest.mark.slow
def test_a_trained_run_is_tested_and_scored_the_same_by_one_process_and_by_two(trained, run, call, monkeypatch):
    toy, _ = trained
    monkeypatch.setenv("TRACKING_OUTPUT", str(toy.output))
    ended = call("test.py", "--config", toy.file, *DATASET)
    assert ended.code == 0, ended.err
    folder = results(toy.output / "toy")["last"]
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "score.json"} | {
        f"{name}{suffix}.txt" for name in (FIRST, SECOND) for suffix in ("", "_scores", "_time", "_network_time")
    }
    score = json.loads((folder / "score.json").read_text())["scores"]["got10k"]
    for words in (
        f"{toy.output / 'toy' / 'checkpoints' / 'last.pth'}\n",
        "sequences: 2 tracked, 0 kept, 0 failed\n",
        f"results: {folder}\n",
    ):
        assert words in ended.out
    numbers = [f"{100 * score[name]:.2f}" for name in ("AO", "SR0.5", "SR0.75")]
    assert [folder.name, *numbers, "2/2"] in [line.split()[:-1] for line in ended.out.splitlines()]  # then frames/s
    for kind in ("end to end:", "network:   "):
        assert re.search(rf"^{kind} [\d.]+ frames/s, median [\d.]+ ms, p95 [\d.]+ ms \(38 frames\)$", ended.out, re.M)

    # The last epoch's weights are the last.
    ended = run("test.py", "--checkpoint", toy.output / "toy/checkpoints/epoch_0002.pth", *DATASET, "--processes", "2")
    assert ended.code == 0, ended.err
    assert "sequences: 2 tracked, 0 kept, 0 failed\n" in ended.out
    assert "2 process(es) together" in ended.out
    second = results(toy.output / "toy")["epoch_0002"]
    assert all(np.array_equal(boxes(second, name), boxes(folder, name)) for name in (FIRST, SECOND))


@pytest.mark.slow
def test_several_commands_at_once_share_the_sequences_and_one_scores(trained, start):
    """As by srun: the same command several times at the same moment, on results that are not there yet."""
    toy, _ = trained
    words = ["--config", toy.file, *DATASET, "test.tracker.window=none"]
    commands = [start("test.py", *words) for _ in range(2)]
    ended = [(*command.communicate(timeout=300), command.returncode) for command in commands]
    assert [code for *_, code in ended] == [0, 0], ended
    tracked = [int(re.search(r"^sequences: (\d) tracked", out, re.M)[1]) for out, _, _ in ended]
    assert sum(tracked) == 2
    for out, _, _ in ended:
        assert ("no score yet" in out) != (re.search(r" 2/2 ", out) is not None)
    assert any(re.search(r" 2/2 ", out) for out, _, _ in ended)
    folders = (toy.output / "toy" / "results" / "got10k_val").iterdir()
    [folder] = [path for path in folders if len(json.loads((path / "manifest.json").read_text())["runs"]) == 2]
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "score.json"} | {
        f"{name}{suffix}.txt" for name in (FIRST, SECOND) for suffix in ("", "_scores", "_time", "_network_time")
    }


# In this process


@pytest.fixture
def checkpoint(toy) -> Path:
    """The toy's newest checkpoint, untrained."""
    return write_checkpoint(toy.output / "toy" / "checkpoints" / "last.pth", load_experiment(toy.file))


@pytest.fixture
def damaged(toy_got10k, tmp_path, monkeypatch) -> Path:
    """A copy of the set that a test may damage; its sequences of the val split."""
    shutil.copytree(toy_got10k, tmp_path / "got10k")
    monkeypatch.setenv("TRACKING_DATA_GOT10K", str(tmp_path / "got10k"))
    return tmp_path / "got10k" / "val"


def only(run: Path) -> Path:
    [folder] = results(run).values()
    return folder


@pytest.mark.slow
def test_results_of_one_sequence_are_kept_when_all_are_asked_for(call, toy, checkpoint):
    ended = call("test.py", "--config", toy.file, *DATASET, "--sequence", SECOND, "--processes", "0")
    assert ended.code == 0
    assert "sequences: 1 tracked, 0 kept, 0 failed\n" in ended.out
    folder = only(toy.output / "toy")
    assert not (folder / f"{FIRST}.txt").exists()
    assert not (folder / "score.json").exists()
    before = (folder / f"{SECOND}_time.txt").read_bytes()
    assert "sequences: 1 tracked, 1 kept, 0 failed\n" in call("test.py", "--config", toy.file, *DATASET).out
    assert not (folder / "legacy_int").exists()
    assert (
        "sequences: 0 tracked, 2 kept, 0 failed\n"
        in call("test.py", "--config", toy.file, *DATASET, "--legacy-int").out
    )
    for name in (FIRST, SECOND):
        written = np.loadtxt(folder / "legacy_int" / f"{name}.txt", delimiter="\t", dtype=int)
        assert np.array_equal(written, boxes(folder, name).astype(int)) and (boxes(folder, name) % 1).any()
    score = (folder / "score.json").read_bytes()
    out = call("test.py", "--config", toy.file, *DATASET, "--sequence", SECOND).out
    assert f"PART, 1 of 180 sequences: not the whole set, without {FIRST}\n" in out
    assert out.endswith(f"{folder}: score.json is left alone\n") and (folder / "score.json").read_bytes() == score
    assert only(toy.output / "toy") == folder
    assert (folder / f"{SECOND}_time.txt").read_bytes() == before
    manifest = json.loads((folder / "manifest.json").read_text())
    assert len(manifest["runs"]) == 4
    assert manifest["runs"][0]["checkpoint"] == str(checkpoint)
    assert manifest["settings"]["model"] == to_tree(load_experiment(toy.file))["model"]


@pytest.mark.slow
def test_lost_targets_are_searched_for_on_request(call, toy, checkpoint):
    words = ["test.py", "--config", toy.file, *DATASET, "--sequence", FIRST]
    plain, recovering = call(*words), call(*words, "test.tracker.lost_below=2", "--recover")
    assert "1 tracked, 0 kept" in plain.out and "1 tracked, 0 kept" in recovering.out
    assert "settings of this benchmark: test.tracker.recover=True\n" in recovering.out
    assert "0 tracked, 1 kept" in call(*words, "test.tracker.lost_below=2").out  # a threshold alone moves no box
    folders = (toy.output / "toy" / "results" / "got10k_val").iterdir()
    first, second = (np.loadtxt(folder / f"{FIRST}_scores.txt") for folder in folders)
    searched = PATIENCE + 2  # the first frame with a search
    assert np.array_equal(first[:searched], second[:searched]) and first[searched] != second[searched]
    assert "lost_below is not set" in call(*words, "--recover").error


@pytest.mark.slow
def test_several_checkpoints_are_tested_side_by_side(call, toy, checkpoint):
    other = checkpoint.with_name("epoch_0001.pth")
    write_checkpoint(other, load_experiment(toy.file, ["seed=8"]))
    words = [word for file in (checkpoint, other, checkpoint) for word in ("--checkpoint", file)]
    ended = call("test.py", "--config", toy.file, *DATASET, *words)
    assert ended.code == 0
    assert ended.out.count(" tracked, ") == ended.out.count("sequences: 2 tracked, 0 kept, 0 failed\n") == 2
    folders = results(toy.output / "toy")
    assert list(folders) == ["epoch_0001", "last"]
    assert not np.array_equal(boxes(folders["last"], FIRST), boxes(folders["epoch_0001"], FIRST))
    rows = [line.split() for line in ended.out.splitlines() if " 2/2 " in line]
    assert [row[0] for row in rows] == [folders["last"].name, folders["epoch_0001"].name]


def test_a_benchmarks_own_values_are_used_and_stated(call, toy, checkpoint):
    write_experiment(toy.file, test={"per_dataset": {"got10k_val": {"model.division.threshold": 0.3}}})
    ended = call("test.py", "--config", toy.file, *DATASET, "--sequence", FIRST)
    folder = only(toy.output / "toy")
    assert f"got10k_val, {folder.name}: settings of this benchmark: model.division.threshold=0.3\n" in ended.out
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["settings"]["model"]["division"]["threshold"] == 0.3
    assert manifest["overrides"] == {"model.division.threshold": 0.3}


@pytest.mark.slow
def test_a_checkpoint_alone_is_tested_with_its_own_configuration(call, toy, checkpoint):
    assert call("test.py", "--config", toy.file, *DATASET).code == 0
    folder = only(toy.output / "toy")
    alone = shutil.move(checkpoint, toy.output / "alone.pth")
    toy.file.unlink()
    ended = call("test.py", "--checkpoint", alone, *DATASET)
    assert ended.code == 0
    other = results(toy.output / "toy")["alone"]
    assert np.array_equal(boxes(other, FIRST), boxes(folder, FIRST))
    assert "0 tracked, 2 kept" in call("test.py", "--checkpoint", alone, *DATASET).out
    words = ["--name", "renamed", "model.division.threshold=0.3"]
    assert "2 tracked, 0 kept" in call("test.py", "--checkpoint", alone, *DATASET, *words).out
    manifest = json.loads((only(toy.output / "renamed") / "manifest.json").read_text())
    assert manifest["settings"]["model"]["division"]["threshold"] == 0.3


def test_a_setting_is_swept(call, toy, checkpoint):
    words = ["--config", toy.file, *DATASET, "--sequence", FIRST]
    ended = call("test.py", *words, "--sweep", "model.division.threshold=0.4:0.6:0.2")
    assert ended.code == 0
    assert "part of got10k_val (1 of 180 sequences), protocol got10k" in ended.out
    assert len(re.findall(r"^model\.division\.threshold=0\.[46] last-", ended.out, re.M)) == 2
    assert (toy.output / "toy" / "reports" / "sweep-got10k_val-model.division.threshold-part.json").exists()
    error = call("test.py", "--config", toy.file, "--dataset", "lasot", "--sweep", "test.tracker.window=none").error
    assert error.startswith("--sweep test.tracker.window=none: lasot is a test set; ")


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(call, toy, checkpoint, monkeypatch):
    write, written = ResultsFolder.write, []

    def interrupted(*words) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(words)
        write(*words)

    with monkeypatch.context() as patch:
        patch.setattr(ResultsFolder, "write", interrupted)
        ended = call("test.py", "--config", toy.file, *DATASET)
    assert ended.code == 130
    assert ended.errors == ["stopped; finished sequences are kept, and the same command goes on with the rest"]
    assert "sequences: 1 tracked, 1 kept, 0 failed\n" in call("test.py", "--config", toy.file, *DATASET).out


# Mistakes and damage


def test_an_unreadable_image_is_listed_and_the_other_sequences_are_tracked(call, toy, checkpoint, damaged):
    image = damaged / FIRST / "00000007.jpg"
    image.write_bytes(b"no picture")
    ended = call("test.py", "--config", toy.file, *DATASET)
    assert ended.code == 1
    assert "sequences: 1 tracked, 0 kept, 1 failed\n" in ended.out
    assert re.search(rf"^FAILED {FIRST}: .*{re.escape(str(image))}", ended.out, re.M)
    assert "NO SET SCORE by protocol got10k: 1 of 2 sequences could not be scored: " in ended.out
    assert "Traceback" not in ended.out + ended.err
    assert boxes(only(toy.output / "toy"), SECOND).shape == (20, 4)


def test_a_first_box_that_holds_no_target_is_listed(call, toy, checkpoint, damaged):
    file = damaged / SECOND / "groundtruth.txt"
    rows = file.read_text().splitlines()
    file.write_text("\n".join(["300,20,10,10", *rows[1:]]) + "\n")
    ended = call("test.py", "--config", toy.file, *DATASET)
    assert ended.code == 1
    assert "sequences: 1 tracked, 0 kept, 1 failed\n" in ended.out
    assert re.search(rf"^FAILED {SECOND}: the first box .*lies outside the image of 96 x 72 pixels", ended.out, re.M)


def no_images(folder: Path) -> None:
    for image in folder.glob("*.jpg"):
        image.unlink()


def test_a_sequence_that_cannot_be_read_is_one_that_failed(call, toy, checkpoint, damaged):
    no_images(damaged / FIRST)
    reason = f"{damaged / FIRST}: no images (<number>.jpg) in the sequence's folder; unpack the sequence again"
    ended = call("test.py", "--config", toy.file, *DATASET)
    assert ended.code == 1
    assert "sequences: 1 tracked, 0 kept, 1 failed\n" in ended.out
    assert f"FAILED {FIRST}: {reason}\n" in ended.out
    assert "NO SET SCORE by protocol got10k: 1 of 2 sequences could not be scored: " in ended.out
    assert "Traceback" not in ended.out + ended.err
    score = json.loads((only(toy.output / "toy") / "score.json").read_text())
    assert score["errors"] == {FIRST: reason}
    assert set(map(str, score["scores"].values())) == {"{}"}
    # By itself it fails, the other does not.
    assert call("test.py", "--config", toy.file, *DATASET, "--sequence", FIRST).code == 1
    ended = call("test.py", "--config", toy.file, *DATASET, "--sequence", SECOND)
    assert ended.code == 0
    assert "sequences: 0 tracked, 1 kept, 0 failed\n" in ended.out


def test_a_set_of_which_nothing_can_be_read_is_one_line(call, toy, checkpoint, damaged):
    for name in (FIRST, SECOND):
        no_images(damaged / name)
    error = call("test.py", "--config", toy.file, *DATASET).error
    assert error == f"{damaged / FIRST}: no images (<number>.jpg) in the sequence's folder; unpack the sequence again"


@pytest.mark.slow
def test_sequences_in_the_hands_of_another_command_are_left_to_it_and_the_score_with_them(call, toy, checkpoint):
    words = ["test.py", "--config", toy.file, *DATASET]
    assert call(*words, "--sequence", SECOND).code == 0
    folder = only(toy.output / "toy")
    with Claims(folder) as other:
        other.take(FIRST)
        ended = call(*words, "--legacy-int")
    assert ended.code == 0
    assert "sequences: 0 tracked, 1 kept, 0 failed, 1 tracked by other commands\n" in ended.out
    assert f"elsewhere {FIRST}: process {os.getpid()} on " in ended.out
    assert ended.out.endswith("no score yet: the command that finishes the last sequence computes it\n")
    assert not (folder / "score.json").exists()
    assert [file.name for file in (folder / "legacy_int").iterdir()] == [f"{SECOND}.txt"]
    assert "1 tracked, 1 kept, 0 failed\n" in call(*words).out
    assert (folder / "score.json").exists()


def test_mistakes_are_one_line(call, toy, checkpoint, monkeypatch):
    config, fresh, cut = ["--config", toy.file], toy.file.with_name("fresh.yaml"), checkpoint.with_name("cut.pth")
    write_experiment(fresh, name="fresh")
    last = toy.output / "fresh" / "checkpoints" / "last.pth"
    cut.write_bytes(checkpoint.read_bytes()[:5000])
    absent = "GOT-10k_Val_000003"
    wrong = "command line: model.division.treshold: got 0.3; unknown key; did you mean threshold?"
    for words, message in (
        ([*config, "--sequence", absent], f"--sequence: got10k_val has no sequence {absent}; did you mean GOT"),
        (["--config", fresh], f"{last}: no such checkpoint; train the experiment first, or name another with --check"),
        ([*config, "--checkpoint", "gone.pth"], "gone.pth: no such checkpoint"),
        # Before the sound one is tested.
        ([*config, "--checkpoint", checkpoint, "--checkpoint", cut], f"{cut}: not a whole checkpoint"),
        (["--checkpoint", checkpoint, "--checkpoint", cut], f"{cut}: not a whole checkpoint"),
        ([*config, "--processes", "2", "model.backbone.width=48"], f"{checkpoint}: of another model than the config"),
        ([*config, "model.division.treshold=0.3"], wrong),
        (["--checkpoint", checkpoint, "model.division.treshold=0.3"], wrong),
        ([*config, "--device", "cuda:77"], "device 'cuda:77' "),
    ):  # fmt: skip
        assert call("test.py", *DATASET, *words).error.startswith(message)
    assert not (toy.output / "toy" / "results").exists()
    (toy.output / "toy" / "results").write_text("a file")
    assert str(toy.output / "toy" / "results") in call("test.py", *config, *DATASET).error
    monkeypatch.delenv("TRACKING_DATA_GOT10K")
    assert call("test.py", *config, *DATASET).error.startswith("data.got10k: not set; set data.got10k in ")


@pytest.mark.parametrize("words", [
    "--config grm_tiny",
    "--dataset got10k_val",
    "--config grm_tiny --dataset got10k_val --processes -1",
    "--config grm_tiny --dataset got10k_val --process 2",
    "--config grm_tiny --dataset lasot --on-test-set",
])  # fmt: skip
def test_wrong_arguments_are_exit_code_2(call, words):
    assert call("test.py", *words.split()).code == 2
