"""What a report of costs and times says, and what is timed."""

from __future__ import annotations

import json
from time import sleep

import cv2
import pytest
import torch
from torch import Tensor
from toy_experiment import write_experiment

from lib.config.schema import ConfigError
from lib.experiment.build import build_model
from lib.experiment.config import load_config
from lib.experiment.costs import (
    ModelReport,
    Row,
    Spread,
    Times,
    count_experiment,
    experiment_names,
    profile_models,
    time_tracker,
)
from lib.export.cost import Cost, Work
from lib.geometry.crop import CropConfig
from lib.inference.tracker import Tracker, TrackerConfig
from lib.models.base import Prediction, TrackingModel

PAUSE = 0.004


class Idle(TrackingModel):
    """Takes PAUSE seconds and says that the target is far off and large; remembers what it was given."""

    family = "idle"

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.precise: list[bool] = []

    def encode_template(self, template: Tensor, box: Tensor) -> Tensor:
        self.precise.append(not torch.is_autocast_enabled("cpu"))
        return template

    def locate(self, state: Tensor, search: Tensor, epoch: int | None = None) -> Prediction:
        sleep(PAUSE)
        self.seen.append(search)
        self.precise.append(not torch.is_autocast_enabled("cpu"))
        return Prediction(torch.tensor([[[0.9, 0.9, 0.9, 0.9]]]), torch.ones(1, 1))

    def parameter_groups(self) -> dict[str, list[str]]:
        return {}


def idle_tracker() -> Tracker:
    crops = CropConfig(size=32, factor=2.0), CropConfig(size=64, factor=4.0)
    return Tracker(Idle(), *crops, TrackerConfig(window="none"), "cpu")


def test_every_frame_is_timed_and_the_network_is_part_of_it():
    tracker = idle_tracker()
    times = time_tracker(tracker, frames=6, warmup=2)
    assert len(tracker.model.seen) == 8
    for spread in (times.network, times.whole):
        assert 1000 * PAUSE <= spread.median <= spread.p95
    assert times.template.median < 1000 * PAUSE
    assert times.network.median < times.whole.median
    assert all(tracker.model.precise)


def test_a_frame_costs_the_same_wherever_the_network_sees_the_target():
    """Without the target put back, its answers would lead to ever larger crops, mostly of padding."""
    tracker = idle_tracker()
    time_tracker(tracker, frames=9, warmup=0)
    first, *others, last = tracker.model.seen
    assert torch.equal(first, last)  # the ninth frame is the first again
    assert all(other.std() > 0.5 for other in others)


def test_bf16_is_autocast():
    tracker = idle_tracker()
    time_tracker(tracker, frames=1, warmup=0, precision="bf16")
    assert not any(tracker.model.precise)


def row(name: str, times: Times | None = None) -> Row:
    return Row(name, 128, 256, Cost(92_366_469, Work(37_748_736, 0), Work(28_986_351_616, 1_887_436_800)), times)


def test_the_tables():
    times = Times(Spread(1.0, 2.0), Spread(10.0, 12.5), Spread(12.5, 13.0))
    settings = {"device": "cpu", "processor": "", "precision": "fp32", "threads": 2, "frames": 50, "warmup": 5}
    settings |= {"width": 1280, "height": 720}
    report = ModelReport({"processor": "A", "torch": "2"}, ["train.epochs=1"], settings, [row("toy", times)])
    lines = report.text().splitlines()
    assert lines[:2] == ["processor A; torch 2", "overrides: train.epochs=1"]
    heads = [number for number, line in enumerate(lines) if line.startswith("experiment ")]
    assert lines[heads[0] + 1].split() == ["toy", "128/256", "92.37", "0.038", "30.874", "30.912", "1.887"]
    assert lines[heads[1] + 1].split() == ["toy", "1.00", "10.00", "12.50", "12.50", "13.00", "80.0"]
    assert lines[heads[1] - 2].startswith("Milliseconds on cpu (2 threads), fp32")
    assert lines[heads[1] - 1].startswith("50 frames of 1280 x 720 after 5;")
    content = json.loads(json.dumps(report.to_json()))
    assert content["rows"][0]["cost"]["frame"] == {"layers": 28_986_351_616, "attention": 1_887_436_800}
    assert content["rows"][0]["times"]["network"] == {"median": 10.0, "p95": 12.5}


def test_what_was_not_timed_is_not_told():
    report = ModelReport({"processor": "A"}, [], {}, [row("toy")])
    assert "Milliseconds" not in report.text() and "overrides" not in report.text()
    assert report.to_json()["rows"][0]["times"] is None


def test_a_toy_experiment(tmp_path):
    file = write_experiment(tmp_path / "toy.yaml")
    before = torch.get_num_threads(), cv2.getNumThreads()
    report = profile_models([file], ["model.backbone.depth=3"], device="cpu", frames=2, warmup=1, threads=1)
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before
    assert report.settings["threads"] == 1
    experiment = load_config(file, ["model.backbone.depth=3"])
    assert report.rows[0].cost == count_experiment(experiment)
    assert report.rows[0].cost.parameters == sum(value.numel() for value in build_model(experiment).parameters())
    assert report.rows[0].times.whole.median > report.rows[0].times.network.median


def test_a_mistake_is_told_before_anything_is_measured(tmp_path):
    file = write_experiment(tmp_path / "toy.yaml")
    with pytest.raises(ConfigError, match="no such experiment"):
        profile_models([file, "nothing"], frames=10**9)
    with pytest.raises(ValueError, match="none that torch knows"):
        profile_models([file], device="abacus", frames=10**9)


def test_every_experiment_has_a_name_that_loads():
    names = experiment_names()
    assert "grm_tiny" in names and "paths.example" not in names
    assert [load_config(name).name for name in names] == names
