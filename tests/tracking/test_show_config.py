"""show_config.py: the resolved configuration as a file that loads again, and the schema."""

import json

import pytest

from lib.experiment.config import experiment_schema, load_experiment


@pytest.mark.slow
def test_what_is_printed_is_the_experiment(run, tmp_path):
    ended = run("show_config.py", "--config", "grm_vitb", "train.epochs=3")
    assert (ended.code, ended.err) == (0, "")
    (tmp_path / "shown.yaml").write_text(ended.out)
    assert load_experiment(tmp_path / "shown.yaml") == load_experiment("grm_vitb", ["train.epochs=3"])


def test_values_of_a_benchmark_are_in_their_places(call, tmp_path):
    (tmp_path / "shown.yaml").write_text(call("show_config.py", "--config", "grm_vitb", "--dataset", "nfs").out)
    shown = load_experiment(tmp_path / "shown.yaml")
    assert shown == load_experiment("grm_vitb").for_benchmark("nfs")
    assert shown.model.division.threshold == 0.6


def test_the_schema_is_written(call, tmp_path):
    ended = call("show_config.py", "--write-schema", tmp_path / "schema.json")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert json.loads((tmp_path / "schema.json").read_text()) == experiment_schema()


@pytest.mark.parametrize(("words", "error"), [
    ("--config grm_vit", "error: --config: grm_vit: no such experiment in "),
    ("--config grm_vitb seed=x", 'error: command line: seed: got "x"; should be a valid integer'),
    ("--config grm_vitb seed", "error: command line: 'seed': not an override; should be section.key=value"),
    ("--config grm_vitb --dataset nfss", "error: unknown benchmark 'nfss'; did you mean nfs?"),
    ("--write-schema /nowhere/schema.json", "error: /nowhere/schema.json: No such file or directory"),
])  # fmt: skip
def test_mistakes_are_one_line(call, words, error):
    ended = call("show_config.py", *words.split())
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(error)
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("words", [
    "",
    "--config grm_vitb --write-schema x",
    "--write-schema x seed=1",
    "--write-schema x --dataset nfs",
])  # fmt: skip
def test_wrong_arguments_are_exit_code_2(call, words):
    assert call("show_config.py", *words.split()).code == 2
