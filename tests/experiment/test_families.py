"""Every family through the whole wiring, with its tiny twin: it trains, stops and goes on, and tracks."""

import json
import math
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from families import COVERING_PAIRS, QUICK_SCHEDULES, TWINS, fresh, inputs, slow_but, tiny

from lib.config.paths import Paths
from lib.experiment.build import build_tracker, build_trainer
from lib.experiment.config import ExperimentConfig, to_tree
from lib.models.registry import FAMILIES
from lib.runtime.checkpoint import read_training_checkpoint, save_checkpoint
from lib.runtime.process import Process
from lib.training.trainer import Trainer

ALONE = Process(0, 1, torch.device("cpu"))
# Two epochs of two steps of two groups, and a group of held-out pairs after each.
SHORT = (
    "train.epochs=2", "train.global_batch=4", "train.group_batch=2", "data.samples_per_epoch=8", "data.val_samples=2",
    "data.workers=0", "train.log_every=1", "train.validate_every=1",
)  # fmt: skip
PASSES_OF_AN_EPOCH = 5
with_any_head = pytest.mark.parametrize(
    ("family", "head"), slow_but(COVERING_PAIRS, ("grm", "center"), ("lite", "center"), ("transt", "mlp"))
)


def start(experiment: ExperimentConfig, output: Path, data: Path) -> Trainer:
    paths = Paths(data={"got10k": data}, output=output, cache=output / "cache")
    return build_trainer(experiment, paths, ALONE)


def leavings(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Weights, buffers and the optimiser's state."""
    tensors = dict(trainer.actor.model.state_dict())
    for index, state in trainer.state.optimizer.state_dict()["state"].items():
        tensors |= {f"{index}.{name}": value for name, value in state.items()}
    return tensors


def stop_before(trainer: Trainer, forward_pass: int) -> None:
    """Lets the process receive SIGTERM in that forward pass, counted from 0."""
    passes = iter(range(100))

    def count(*_: object) -> None:
        if next(passes) == forward_pass:
            signal.raise_signal(signal.SIGTERM)

    trainer.actor.model.register_forward_pre_hook(count)


def lines(output: Path, kind: str) -> list[dict]:
    [log] = output.glob("*/log.jsonl")
    return [record for line in log.read_text().splitlines() if (record := json.loads(line))["kind"] == kind]


@pytest.mark.slow
@pytest.mark.parametrize("family", slow_but(FAMILIES, "grm", "lite"))
def test_a_stopped_training_goes_on_to_the_same_bits(family, tmp_path, toy_got10k):
    """Stopped in the second epoch's first step, and not stopped at all."""
    experiment = tiny(family, None, *SHORT, *QUICK_SCHEDULES.get(family, ()))
    whole = start(experiment, tmp_path / "whole", toy_got10k)
    before = {name: value.clone() for name, value in whole.actor.model.state_dict().items()}
    assert (whole.run(), whole.state.step) == (0, 4)
    stopped = start(experiment, tmp_path / "stopped", toy_got10k)
    stop_before(stopped, PASSES_OF_AN_EPOCH + 1)
    assert (stopped.run(), stopped.state.step) == (signal.SIGTERM, 3)
    again = start(experiment, tmp_path / "stopped", toy_got10k)
    assert (again.run(), again.state.step) == (0, 4)
    expected, found = leavings(whole), leavings(again)
    assert expected.keys() == found.keys()
    assert [name for name, value in expected.items() if not torch.equal(value, found[name])] == []
    unmoved = {name for name, value in before.items() if torch.equal(value, expected[name])}
    trained = {name for name, parameter in whole.actor.model.named_parameters() if parameter.requires_grad}
    frozen = {name for name, parameter in whole.actor.model.named_parameters() if not parameter.requires_grad}
    assert not unmoved & trained
    assert frozen <= unmoved
    for kind in ("train", "validation"):
        logged = [
            [{name: value for name, value in record.items() if name != "pairs_per_second"} for record in records]
            for records in (lines(tmp_path / "whole", kind), lines(tmp_path / "stopped", kind))
        ]
        assert logged[0] == logged[1]
        assert len(logged[0]) == (4 if kind == "train" else 2)


@pytest.mark.slow
def test_a_schedule_inside_the_network_follows_the_epoch(tmp_path, toy_got10k):
    """OSTrack keeps fewer tokens in the second epoch, in training and in validation, and as many in the tracker."""
    experiment = tiny("ostrack", None, *SHORT, *QUICK_SCHEDULES["ostrack"])
    trainer = start(experiment, tmp_path, toy_got10k)
    assert trainer.run() == 0
    shares = {kind: [record["share_kept"] for record in lines(tmp_path, kind)] for kind in ("train", "validation")}
    (first, same, second, same_again), validated = shares["train"], shares["validation"]
    assert first == same > second == same_again
    assert validated == [first, second]
    model = trainer.actor.model.eval()
    with torch.inference_mode():
        assert model.monitors(model(*inputs(experiment, 2)))["share_kept"].item() == pytest.approx(second)


@pytest.mark.slow
@with_any_head
def test_one_epoch_trains_validates_and_logs(family, head, tmp_path, toy_got10k):
    """With the twin's own precision; the log has finite losses, and all terms and monitors of a group."""
    experiment = tiny(family, head, *SHORT, "train.epochs=1", "data.samples_per_epoch=4")
    trainer = start(experiment, tmp_path, toy_got10k)
    assert (trainer.run(), trainer.state.step) == (0, 1)
    [trained], [validated] = lines(tmp_path, "train"), lines(tmp_path, "validation")
    expected = {
        "center": {"giou", "l1", "focal", "iou", "inverted"},
        "corner": {"giou", "l1", "iou", "inverted"},
        "mlp": {"giou", "l1", "classification", "iou", "accuracy"},
        "distance": {"giou", "classification", "iou"},
    }[head]
    own = {"grm": {"share_a"}, "ostrack": {"share_kept"}}.get(family, set())
    for record in (trained, validated):
        assert record.keys() - {"kind", "step", "epoch", "lr", "pairs_per_second"} == {"loss", *expected, *own}
        assert all(math.isfinite(record[name]) for name in ("loss", *expected))
    [checkpoint] = tmp_path.glob("*/checkpoints/last.pth")
    assert read_training_checkpoint(checkpoint)["step"] == 1


def frame(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (72, 96, 3), dtype=np.uint8)


@with_any_head
def test_two_frames_are_tracked_with_the_familys_test_settings(family, head, tmp_path):
    experiment = tiny(family, head)
    model = fresh(experiment)
    save_checkpoint(tmp_path / "weights.pth", {"model": model.state_dict(), "experiment": to_tree(experiment)})
    tracker = build_tracker(experiment, tmp_path / "weights.pth")
    tracker.init(frame(0), [30, 20, 24, 16])
    results = [tracker.update(frame(number)) for number in (1, 2)]
    for result in results:
        assert np.isfinite(result.box).all()
        least = 0 if experiment.test.tracker.clip == "inside" else experiment.test.tracker.clip_margin
        assert (result.box[2:] >= least).all()
        assert 0 < result.score < 1
    again = build_tracker(experiment, tmp_path / "weights.pth")
    again.init(frame(0), [30, 20, 24, 16])
    for number, result in zip((1, 2), results, strict=True):
        repeated = again.update(frame(number))
        assert np.array_equal(repeated.box, result.box)
        assert repeated.score == result.score


def test_the_twins_differ_in_what_their_families_differ_in():
    """Otherwise these tests would see less than they seem to."""
    experiments = {family: tiny(family) for family in TWINS}
    assert {family: experiment.model.head.kind for family, experiment in experiments.items()} == {
        "grm": "center", "lite": "center", "lorat": "distance", "ostrack": "center", "simtrack": "corner",
        "stark_sv": "corner", "transt": "mlp",
    }  # fmt: skip
    assert {experiment.test.tracker.window for experiment in experiments.values()} == {"multiply", "none", "blend"}
    assert {experiment.search.context for experiment in experiments.values()} == {"area", "perimeter"}
    assert {experiment.train.precision for experiment in experiments.values()} == {"fp32", "bf16"}


@pytest.mark.slow
def test_a_denominator_of_the_step_makes_groups_a_matter_of_memory(tmp_path, toy_got10k):
    """LoRAT's positives are counted over the step: groups of two train as one group of four does."""
    trained = []
    for group in (2, 4):
        one_step_each = ("train.epochs=1", "data.val_samples=4", "train.precision=fp32", f"train.group_batch={group}")
        trainer = start(tiny("lorat", None, *SHORT, *one_step_each), tmp_path / str(group), toy_got10k)
        assert trainer.run() == 0
        trained.append(trainer.actor.model.state_dict())
    for name, value in trained[0].items():
        torch.testing.assert_close(value, trained[1][name], rtol=1e-3, atol=2e-5)
    [losses] = {tuple(round(record["loss"], 4) for record in lines(tmp_path / str(group), "train")) for group in (2, 4)}
    assert len(losses) == 2
