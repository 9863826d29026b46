"""From experiments to a report of them."""

from __future__ import annotations

import cv2
import pytest
import torch
from toy_experiment import write_experiment

from lib.config.schema import ConfigError
from lib.experiment.config import load_config
from lib.profiling import throughput
from lib.profiling.costs import count_experiment
from lib.profiling.forms import parse_forms
from lib.profiling.profile import Measurements, profile_models


def test_everything_of_a_toy_experiment(tmp_path, monkeypatch):
    monkeypatch.setattr(throughput, "LEAST", 4)
    file = write_experiment(tmp_path / "toy.yaml")
    before = torch.get_num_threads(), cv2.getNumThreads()
    wanted = Measurements(
        parse_forms("eager:fp32,eager:bf16"), batches=(1, 2), frames=2, warmup=1, engine=(2,), engine_frames=1,
        training=2, threads=1,
    )  # fmt: skip
    report = profile_models([file], ["model.backbone.depth=3"], "cpu", wanted)
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before
    assert report.settings["threads"] == 1 and report.settings["device"] == "cpu"
    assert report.overrides == ["model.backbone.depth=3"] and report.machine["torch"]
    (row,) = report.rows
    assert row.cost == count_experiment(load_config(file, ["model.backbone.depth=3"]))
    assert [(times.form, times.batch) for times in row.frames] == [
        ("eager fp32", 1), ("eager fp32", 2), ("eager bf16", 1), ("eager bf16", 2),
    ]  # fmt: skip
    assert [step.clock for step in row.steps] == ["wall", "processor"]
    assert [(times.form, times.slots) for times in row.engine] == [
        ("eager fp32", 0), ("eager fp32", 2), ("eager bf16", 2),
    ]  # fmt: skip
    assert [times.precision for times in row.training] == ["fp32", "bf16"]


def test_parts_are_measured_if_they_are_asked_for(tmp_path):
    file = write_experiment(tmp_path / "toy.yaml")
    report = profile_models([file], [], "cpu", Measurements(frames=0))
    (row,) = report.rows
    assert (report.settings, row.frames, row.steps, row.engine, row.training) == ({}, [], [], [], [])
    report = profile_models([file], [], "cpu", Measurements(parse_forms("eager:bf16"), frames=1, warmup=0))
    assert (len(report.rows[0].frames), report.rows[0].steps) == (1, [])  # the parts are of fp32


def test_a_mistake_is_reported_before_anything_is_measured(tmp_path):
    file, long = write_experiment(tmp_path / "toy.yaml"), Measurements(frames=10**9)
    with pytest.raises(ConfigError, match="no such experiment"):
        profile_models([file, "nothing"], [], "cpu", long)
    with pytest.raises(ValueError, match="unknown to torch"):
        profile_models([file], [], "abacus", long)
