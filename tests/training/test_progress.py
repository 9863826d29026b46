from __future__ import annotations

import json
import logging

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lib.runtime.process import Process
from lib.training.progress import Meter, Progress

ALONE = Process(0, 1, 0, torch.device("cpu"))


class TwoProcesses:
    """This process and another whose share is given."""

    world = 2

    def __init__(self, other) -> None:
        self.other = other

    def gather(self, value):
        return [value, self.other]


def values(loss: float, inverted: float = 1.0) -> dict[str, torch.Tensor]:
    return {
        "loss": torch.tensor(loss),
        "iou": torch.tensor(loss / 10),
        "inverted": torch.tensor(inverted),
        "share_a": torch.tensor([0.25, loss]),
    }


def start(output, step: int = 0, epoch: int = 0) -> Progress:
    return Progress(output, ALONE, step=step, epoch=epoch, steps=4, epochs=2, pairs=8, log_every=2)


def lines(output) -> list[dict]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def test_values_are_averaged_over_groups_and_inverted_boxes_counted():
    meter = Meter()
    meter.add(values(1.0))
    meter.add(values(2.0))
    read = meter.read(TwoProcesses((1, {"loss": 6.0, "iou": 0.3, "inverted": 2.0, "share_a": [1.0, 1.5]})))
    assert read["loss"] == pytest.approx(3.0)
    assert read["iou"] == pytest.approx(0.2)
    assert read["inverted"] == 4
    assert read["share_a"] == pytest.approx([0.5, 1.5])
    meter.add(values(5.0))
    assert meter.read(TwoProcesses((0, {})))["loss"] == 5.0


def test_a_line_every_few_steps_and_at_the_end(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with start(tmp_path) as progress:
        for step in range(1, 5):
            progress.trained(step, 1 + (step - 1) // 2, [values(step), values(step)], {"head": 0.1 / step}, 0.5)
        progress.validated(4, 2, {"loss": 7.0, "iou": 0.5, "inverted": 0})
    first, second, validation = lines(tmp_path)
    assert (first["kind"], first["step"], first["epoch"], first["lr"]) == ("train", 2, 1, {"head": 0.05})
    assert (first["loss"], first["inverted"], first["share_a"]) == (1.5, 4, [0.25, 1.5])
    assert first["pairs_per_second"] == pytest.approx(16.0)
    assert (second["step"], second["epoch"], second["loss"]) == (4, 2, 3.5)
    assert validation == {"kind": "validation", "step": 4, "epoch": 2, "loss": 7.0, "iou": 0.5, "inverted": 0}
    text = caplog.text
    assert "epoch 1/2, step 2/4: loss 1.500, IoU 0.150, pairs/s 16.0, 00:01 left" in text
    assert "held-out pairs: loss 7.000, IoU 0.500" in text


def test_going_on_drops_what_comes_after(tmp_path):
    with start(tmp_path) as progress:
        for step in range(1, 5):
            progress.trained(step, 1, [values(step)], {"head": 0.1}, 1.0)
        progress.validated(2, 1, {"loss": 7.0, "iou": 0.5})
    with start(tmp_path, step=3, epoch=0) as progress:
        assert [(line["kind"], line["step"]) for line in lines(tmp_path)] == [("train", 2)]
        progress.trained(4, 1, [values(9.0)], {"head": 0.1}, 1.0)
    assert [(line["step"], line["loss"]) for line in lines(tmp_path)] == [(2, 1.5), (4, 9.0)]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in board.Scalars("train/loss")] == [(2, 1.5), (4, 9.0)]
    assert [event.value for event in board.Scalars("train/share_a/1")] == [1.5, 9.0]
    assert "train/lr/head" in board.Tags()["scalars"]


def test_other_processes_write_nothing(tmp_path):
    process = Process(1, 1, 1, torch.device("cpu"))
    with Progress(tmp_path, process, step=0, epoch=0, steps=4, epochs=2, pairs=8, log_every=1) as progress:
        progress.trained(1, 1, [values(1.0)], {"head": 0.1}, 1.0)
        progress.validated(1, 1, {"loss": 7.0, "iou": 0.5})
    assert list(tmp_path.iterdir()) == []
