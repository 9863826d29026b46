"""From experiments to a report of their costs and times."""

import json
import os
import signal

import pytest
import torch
from toy_experiment import write_experiment

from lib.config.schema import ConfigError
from lib.experiment.build import build_model
from lib.experiment.config import load_experiment
from lib.profiling import models, throughput
from lib.profiling.forms import parse_forms
from lib.profiling.models import Measurements, count_experiment, experiment_names, profile_models
from lib.runtime.stop import Terminated


@pytest.mark.slow
def test_counted_parameters_are_the_networks_own(tmp_path):
    experiment = load_experiment(write_experiment(tmp_path / "toy.yaml"), ["model.backbone.depth=3"])
    cost = count_experiment(experiment)
    assert cost.parameters == sum(value.numel() for value in build_model(experiment).parameters())
    assert cost.frame.total > cost.template.total > 0


def test_every_experiment_has_a_name_that_loads():
    names = experiment_names()
    assert "grm_tiny" in names and "paths.example" not in names
    assert [load_experiment(name).name for name in names] == names


@pytest.mark.slow
def test_everything_of_a_toy_experiment(tmp_path, monkeypatch):
    monkeypatch.setattr(throughput, "LEAST", 4)
    file = write_experiment(tmp_path / "toy.yaml")
    threads = torch.get_num_threads()
    wanted = Measurements(
        parse_forms("eager:fp32,eager:bf16"), batch=(1, 2), frames=2, warmup=1, engine=(2,), engine_frames=1,
        training=2, threads=1,
    )  # fmt: skip
    report = profile_models([file], ["model.backbone.depth=3"], "cpu", wanted)
    torch.set_num_threads(threads)
    assert report.settings["threads"] == 1 and report.settings["timed on"] == "cpu"
    assert report.settings["overrides"] == "model.backbone.depth=3" and report.machine["torch"]
    tables = {name: table.rows for name, table in report.tables.items()}
    assert {row["experiment"] for rows in tables.values() for row in rows} == {"toy"}
    cost = count_experiment(load_experiment(file, ["model.backbone.depth=3"]))
    assert [row["params"] for row in tables["costs"]] == [cost.parameters / 1e6]
    assert [(row["form"], row["batch"]) for row in tables["frames"]] == [
        ("eager fp32", 1), ("eager fp32", 2), ("eager bf16", 1), ("eager bf16", 2),
    ]  # fmt: skip
    assert tables["frames"][0]["x network"] == tables["training"][0]["x kept"] == 1
    assert [row["clock"] for row in tables["parts"]] == ["wall", "processor"]
    assert [(row["form"], row["slots"]) for row in tables["engine"]] == [
        ("eager fp32", None), ("eager fp32", 2), ("eager bf16", 2),
    ]  # fmt: skip
    assert [row["precision"] for row in tables["training"]] == ["fp32", "bf16"]


@pytest.mark.slow
def test_parts_are_measured_if_they_are_asked_for(tmp_path):
    file = write_experiment(tmp_path / "toy.yaml")
    report = profile_models([file], [], "cpu", Measurements(frames=0))
    assert report.settings == {} and [name for name, table in report.tables.items() if table.rows] == ["costs"]
    report = profile_models([file], [], "cpu", Measurements(parse_forms("eager:bf16"), frames=1, warmup=0))
    assert len(report.tables["frames"].rows) == 1 and report.tables["parts"].rows == []  # parts are of fp32


def test_a_mistake_is_reported_before_anything_is_measured(tmp_path):
    file, long = write_experiment(tmp_path / "toy.yaml"), Measurements(frames=10**9)
    with pytest.raises(ConfigError, match="no such experiment"):
        profile_models([file, "nothing"], [], "cpu", long)
    with pytest.raises(ValueError, match="unknown to torch"):
        profile_models([file], [], "abacus", long)
    with pytest.raises(IsADirectoryError):
        profile_models([file], [], "cpu", long, tmp_path)


def test_sigterm_leaves_no_exported_network(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(models, "time_frames", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    file = write_experiment(tmp_path / "toy.yaml")
    with pytest.raises(Terminated):
        profile_models([file], [], "cpu", Measurements(frames=1))
    assert list(tmp_path.iterdir()) == [file]


def test_an_experiment_that_fails_leaves_the_others(tmp_path, monkeypatch, caplog):
    files = [write_experiment(tmp_path / f"{name}.yaml") for name in ("broken", "toy")]
    count = models.count_experiment

    def counted(experiment):
        if experiment.name == "broken":
            raise RuntimeError("no memory")
        return count(experiment)

    monkeypatch.setattr(models, "count_experiment", counted)
    report = profile_models(files, [], "cpu", Measurements(frames=0), tmp_path / "report.json")
    assert (report.good, report.failed) == (False, ["broken: RuntimeError: no memory"])
    assert [row["experiment"] for row in report.tables["costs"].rows] == ["toy"]
    assert report.text().endswith("\nFAILED broken: RuntimeError: no memory")
    assert "Traceback" in caplog.text
    assert json.loads((tmp_path / "report.json").read_text())["failed"] == report.failed
