import json
import logging
import time

import pytest
import torch
import toy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lib.runtime.process import Process
from lib.training.config import Run
from lib.training.progress import MAX_REASONS, Meter, Progress

ALONE = Process(0, 1, torch.device("cpu"))


class TwoProcesses:
    """This process and another whose share is given."""

    world = 2

    def __init__(self, other) -> None:
        self.other = other

    def gather(self, value):
        return [value, self.other]


def values(loss: float, inverted: int = 1) -> dict[str, torch.Tensor]:
    return {
        "loss": torch.tensor(float(loss)),
        "iou": torch.tensor(loss / 10),
        "inverted": torch.tensor(inverted),
        "share_a": torch.tensor([0.25, float(loss)]),
    }


def start(output, process: Process = ALONE, step: int = 0, epoch: int = 0) -> Progress:
    """Progress of a run of two epochs of two steps of eight pairs, from there on."""
    trainer = toy.build_trainer(output, global_batch=8, data={"samples_per_epoch": 16})
    trainer.state.step, trainer.state.epoch = step, epoch
    run = Run(output, {"seed": 5}, seed=5)
    return Progress(run, process, trainer.config, trainer.plan, trainer.state)


def at(progress: Progress, step: int, epoch: int = 1) -> Progress:
    """Progress after that many steps, in that epoch (from 1)."""
    progress._state.step, progress._state.epoch = step, epoch - 1
    return progress


def meter_of(values: dict, reasons: list[str] = ()) -> Meter:
    meter = Meter()
    meter.add(values, reasons)
    return meter


def lines(output) -> list[dict]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def test_values_are_averaged_over_groups_and_inverted_boxes_counted():
    meter = Meter()
    meter.add(values(1.0))
    meter.add(values(2.0))
    read, _ = meter.read(TwoProcesses((1, {"loss": 6.0, "iou": 0.3, "inverted": 2, "share_a": [1.0, 1.5]}, [])))
    assert read["loss"] == pytest.approx(3.0)
    assert read["iou"] == pytest.approx(0.2)
    assert json.dumps(read["inverted"]) == "4"
    assert read["share_a"] == pytest.approx([0.5, 1.5])
    meter.add(values(5.0))
    assert meter.read(TwoProcesses((0, {}, [])))[0]["loss"] == 5.0


def test_the_first_few_reasons_of_all_processes_are_kept_once():
    meter = Meter()
    for first in range(3):
        meter.add({"damaged": 2}, [f"{first} is damaged", "0 is damaged"])
    counts, reasons = meter.read(
        TwoProcesses((1, {"damaged": 4}, ["2 is damaged", *(f"{n} is torn" for n in range(4))]))
    )
    assert counts == {"damaged": 10}
    assert reasons == ["0 is damaged", "1 is damaged", "2 is damaged", "0 is torn", "1 is torn"]
    assert len(reasons) == MAX_REASONS
    assert meter.read(ALONE) == ({}, [])


def test_a_line_every_few_steps_and_at_the_end(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with start(tmp_path) as progress:
        for step in range(1, 5):
            at(progress, step, 1 + (step - 1) // 2).trained([values(step), values(step)], 0.5)
        at(progress, 4, 2).validated(meter_of({"loss": 7.0, "iou": 0.5, "inverted": 0}))
    first, second, validation = lines(tmp_path)
    assert (first["kind"], first["step"], first["epoch"]) == ("train", 2, 1)
    assert first["lr"] == pytest.approx({"backbone": 1e-3, "head": 1e-2})
    assert (first["loss"], first["inverted"], first["share_a"]) == (1.5, 4, [0.25, 1.5])
    assert first["pairs_per_second"] == pytest.approx(16.0)
    assert (second["step"], second["epoch"], second["loss"]) == (4, 2, 3.5)
    assert validation == {"kind": "validation", "step": 4, "epoch": 2, "loss": 7.0, "iou": 0.5, "inverted": 0}
    text = caplog.text
    assert "epoch 1/2, step 2/4: loss 1.500, IoU 0.150, pairs/s 16.0, 00:01 left" in text
    assert "held-out pairs: loss 7.000, IoU 0.500" in text


@pytest.mark.slow
def test_going_on_drops_what_comes_after(tmp_path):
    with start(tmp_path) as progress:
        for step in range(1, 5):
            at(progress, step).trained([values(step)], 1.0)
        at(progress, 2).validated(meter_of({"loss": 7.0, "iou": 0.5}))
    time.sleep(1)  # TensorBoard orders the files of one process by the second in their names
    with start(tmp_path, step=3, epoch=0) as progress:
        assert [(line["kind"], line["step"]) for line in lines(tmp_path)] == [("train", 2)]
        at(progress, 4).trained([values(9.0)], 1.0)
    assert [(line["step"], line["loss"]) for line in lines(tmp_path)] == [(2, 1.5), (4, 9.0)]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in board.Scalars("train/loss")] == [(2, 1.5), (4, 9.0)]
    assert [event.value for event in board.Scalars("train/share_a/1")] == [1.5, 9.0]
    assert "train/lr/head" in board.Tags()["scalars"]


def test_other_processes_write_nothing(tmp_path):
    process = Process(1, 1, torch.device("cpu"))
    with start(tmp_path, process) as progress:
        at(progress, 1).trained([values(1.0)], 1.0)
        at(progress, 1).validated(meter_of({"loss": 7.0, "iou": 0.5}))
    assert list(tmp_path.iterdir()) == []


FOUND = {"pairs": 24, "redrawn": 3, "damaged": 2, "missed": 12}
REASONS = ["a.jpg is", "b.jpg is"]
CLEAN = {"pairs": 8, "redrawn": 0, "damaged": 0, "missed": 0}


def test_the_counts_of_samples_are_logged_and_written(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with start(tmp_path) as progress:
        at(progress, 2, 1).sampled("training", meter_of(FOUND, REASONS))
        at(progress, 2, 1).sampled("validation", meter_of(CLEAN))
        at(progress, 2, 1).sampled("training", Meter())
    both = FOUND | {"missed_share": 0.25}, CLEAN | {"missed_share": 0.0}
    assert lines(tmp_path) == [
        {"kind": "data", "of": "training", "step": 2, "epoch": 1, **both[0], "reasons": REASONS},
        {"kind": "data", "of": "validation", "step": 2, "epoch": 1, **both[1], "reasons": []},
    ]
    assert [record.getMessage() for record in caplog.records if "pairs of" in record.getMessage()] == [
        "epoch 1/2, 24 pairs of training: 3 draws given up, 2 for damaged images, such as: a.jpg is; b.jpg is; "
        "12 views (25.00%) were not in the crop store",
        "epoch 1/2, 8 pairs of validation: 0 draws given up, 0 for damaged images",
    ]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {name: [event.value for event in board.Scalars(name)] for name in board.Tags()["scalars"]} == {
        f"data/{part}/{name}": [pytest.approx(value)]
        for part, values in zip(("training", "validation"), both, strict=True)
        for name, value in {**values, "epoch": 1}.items()
    }


def test_going_on_keeps_the_counts_up_to_there(tmp_path):
    """At step 2 an epoch's training has ended; if its validation was not, it is done again."""
    with start(tmp_path) as progress:
        at(progress, 1, 1).sampled("training", meter_of(FOUND))
        at(progress, 2, 1).sampled("training", meter_of(FOUND))
        at(progress, 2, 1).sampled("validation", meter_of(CLEAN))
        at(progress, 3, 2).sampled("training", meter_of(FOUND))
    for epoch, kept in (
        (1, [("training", 1), ("training", 2), ("validation", 2)]),
        (0, [("training", 1), ("training", 2)]),
    ):
        with start(tmp_path, step=2, epoch=epoch):
            assert [(line["of"], line["step"]) for line in lines(tmp_path)] == kept


def test_a_folder_whose_name_is_no_utf8(tmp_path):
    output = tmp_path / "\udcd0"
    output.mkdir()
    with start(output) as progress:
        at(progress, 1).trained([values(1.0)], 1.0)
        at(progress, 2).trained([values(3.0)], 1.0)
    output.rename(tmp_path / "run")
    board = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [event.value for event in board.Scalars("train/loss")] == [2.0]
