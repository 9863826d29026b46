"""From experiments to a report of their costs and times."""

import json
import os
import signal

import pytest
from toy_experiment import write_experiment

from lib.config.schema import ConfigError
from lib.experiment.config import load_experiment
from lib.profiling import models
from lib.profiling.forms import parse_forms
from lib.profiling.models import Measurements, experiment_names, profile_models
from lib.runtime.stop import Terminated


def test_every_experiment_has_a_name_that_loads():
    names = experiment_names()
    assert "grm_tiny" in names and "paths.example" not in names
    assert [load_experiment(name).name for name in names] == names


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
