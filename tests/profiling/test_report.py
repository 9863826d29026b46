"""The tables of a report, and its JSON."""

from __future__ import annotations

import json
from pathlib import Path

from lib.export.cost import Cost, Work
from lib.profiling.frames import FrameTimes, Spread, StepTimes
from lib.profiling.profile import Measurements
from lib.profiling.report import ModelReport, Row
from lib.profiling.throughput import Throughput
from lib.profiling.training import TrainingTimes

COST = Cost(92_366_469, Work(37_748_736, 0), Work(28_986_351_616, 1_887_436_800))


def times(form: str, batch: int, factor: float) -> FrameTimes:
    milliseconds = {"template": 1.0, "find": 10.0, "whole": 12.5, "processor": 20.0}
    spreads = {name: Spread(factor * value, factor * value + 1) for name, value in milliseconds.items()}
    return FrameTimes(form, batch, **spreads)


def full() -> Row:
    return Row(
        "toy", 128, 256, COST,
        frames=[times("eager fp32", 1, 1.0), times("eager bf16", 8, 0.5)],
        steps=[StepTimes("wall", 0.25, 0.125, 0.0625, 0.03125)],
        engine=[Throughput("eager fp32", 0, 20.0, 100.0), Throughput("eager fp32", 8, 50.0, 100.0)],
        training=[
            TrainingTimes("fp32", 4, 100.0, 200.0, 512.0, None),
            TrainingTimes("bf16", 4, 50.0, 90.0, 256.0, 9.0),
        ],
    )  # fmt: skip


def test_every_part_has_a_table():
    settings = Measurements(frames=50, warmup=5).settings() | {"device": "cpu", "processor": "", "threads": 2}
    report = ModelReport({"processor": "A", "torch": "2"}, ["train.epochs=1"], settings, [full(), full()])
    lines = report.text().splitlines()
    assert lines[:3] == [
        "processor A; torch 2", "overrides: train.epochs=1", "timed on cpu (2 threads), 50 frames after 5 batches",
    ]  # fmt: skip
    starts = [number for number, line in enumerate(lines) if line.startswith("experiment ")]
    tables = [[" ".join(line.split()) for line in lines[start + 1 :]] for start in starts]
    assert [table[: 2 * count] for table, count in zip(tables, (1, 2, 1, 2, 2), strict=True)] == [
        2 * lines_of_a_row
        for lines_of_a_row in (
            ["toy 128/256 92.37 0.038 30.874 30.912 1.887"],
            [
                "toy eager fp32 1 1.00 10.00 12.50 13.50 20.00 80.0 1.00 1.00 1.00",
                "toy eager bf16 8 0.50 5.00 6.25 7.25 10.00 160.0 0.50 0.50 0.50",
            ],
            ["toy wall 0.250 0.125 0.062 0.031 0.469"],
            ["toy eager fp32 - 20.0 1.00", "toy eager fp32 8 50.0 2.50"],
            ["toy fp32 4 100.00 200.00 10.0 512 - 1.00 1.00", "toy bf16 4 50.00 90.00 20.0 256 9 0.50 0.50"],
        )
    ]


def test_what_was_not_timed_is_not_in_the_text():
    lines = ModelReport({"processor": "A"}, [], {}, [Row("toy", 128, 256, COST)]).text().splitlines()
    assert len([line for line in lines if line.startswith("experiment ")]) == 1
    assert not any("timed" in line or "overrides" in line for line in lines)


def test_the_json_is_whole(tmp_path):
    settings = Measurements(folders=(Path("exported"),)).settings()
    ModelReport({"processor": "A"}, [], settings, [full()]).write(tmp_path / "new" / "report.json")
    content = json.loads((tmp_path / "new" / "report.json").read_text())
    assert content["settings"]["forms"] == ["eager fp32"] and content["settings"]["folders"] == ["exported"]
    (row,) = content["rows"]
    assert row["cost"]["frame"] == {"layers": 28_986_351_616, "attention": 1_887_436_800}
    assert row["frames"][0]["find"] == {"median": 10.0, "p95": 11.0}
    assert row["training"][1]["peak"] == 9.0 and row["engine"][1]["slots"] == 8
