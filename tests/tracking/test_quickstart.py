"""The quickstart at toy size: trained, tested beside its baselines, drawn; then again, keeping what is finished."""

import json
from pathlib import Path

import pytest

TOY = ("train.epochs=1", "data.samples_per_epoch=64", "data.val_samples=16", "data.workers=0", "train.log_every=1")


@pytest.mark.slow
def test_the_quickstart_leaves_scores_pictures_and_a_log(run, toy_got10k: Path, environment: dict[str, str]):
    words = ("--data", toy_got10k, "--name", "quick", "--processes", "1", *TOY)
    ended = run("quickstart.py", *words)
    assert ended.code == 0, ended.err
    output = Path(environment["TRACKING_OUTPUT"]) / "quick"
    for title in ("trained", "the first box repeated", "the untrained network", "another sequence's template"):
        assert title in ended.out
    for file in ("training.png", "success.png", "overlay.mp4", "division.png"):
        assert str(output / "reports" / file) in ended.out
        assert (output / "reports" / file).stat().st_size > 1000
    assert str(output / "log.jsonl") in ended.out
    summary = json.loads((output / "reports" / "quickstart.json").read_text())
    assert summary.keys() == {"config", "set", "scores", "tokens", "seconds"}
    assert summary["config"] == "grm_tiny" and summary["set"] == "part of got10k_val (2 of 180 sequences)"
    assert f"Scores in percent, {summary['set']}, protocol got10k\n" in ended.out
    assert set(summary["scores"]) == {"trained", "first_box", "untrained", "wrong_template"}
    division = summary["tokens"]["division"]
    assert f"share of search tokens that {division['meaning']}: block 2 " in ended.out

    again = run("quickstart.py", *words)
    assert again.code == 0
    assert [line for line in again.out.splitlines() if " s, " not in line] == [
        line for line in ended.out.splitlines() if " s, " not in line
    ]
    assert json.loads((output / "reports" / "quickstart.json").read_text())["scores"] == summary["scores"]


@pytest.mark.parametrize("words", [("--seed", "x"), ("--processes", "0"), ("--unknown",)])
def test_wrong_arguments_are_exit_code_2(call, words: tuple[str, ...]):
    assert call("quickstart.py", *words).code == 2


def test_a_folder_that_is_no_set_is_one_clear_line(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRACKING_OUTPUT", str(tmp_path / "output"))
    assert str(tmp_path / "absent") in call("quickstart.py", "--data", tmp_path / "absent", "--processes", "1").error
