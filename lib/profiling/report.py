"""What was counted and measured of networks, on what machine and how: as tables and as JSON."""

from __future__ import annotations

import json
from collections import abc
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lib.export.cost import Cost
from lib.profiling.frames import FrameTimes, StepTimes
from lib.profiling.throughput import Throughput
from lib.profiling.training import TrainingTimes
from lib.runtime.columns import columns
from lib.runtime.files import write_text

Lines = list[list[str]]


@dataclass(frozen=True)
class Row:
    """One experiment: the sides of its crops in pixels, what it costs, and what was measured of it. Ratios are to the
    first entry of a list."""

    experiment: str
    template: int
    search: int
    cost: Cost
    frames: list[FrameTimes] = field(default_factory=list)
    steps: list[StepTimes] = field(default_factory=list)
    engine: list[Throughput] = field(default_factory=list)
    training: list[TrainingTimes] = field(default_factory=list)


@dataclass
class ModelReport:
    """``settings`` are the numbers that times depend on, empty where nothing was timed."""

    machine: dict[str, str]
    overrides: list[str]
    settings: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values; multiply-adds are whole numbers, times milliseconds, memory MiB."""
        return asdict(self)

    def write(self, path: Path) -> None:
        """Write ``to_json`` to a file; ``OSError`` names it."""
        write_text(path, json.dumps(self.to_json(), indent=1) + "\n")

    def text(self, counts: bool = True) -> str:
        """The tables for a terminal; empty ones are left out, and without ``counts`` the table of costs too."""
        lines = ["; ".join(f"{name} {value}" for name, value in self.machine.items())]
        lines += ["overrides: " + " ".join(self.overrides)] if self.overrides else []
        lines += [_settings_line(self.settings)] if self.settings else []
        for title, head, lines_of in _TABLES if counts else _TABLES[1:]:
            body = [line for row in self.rows for line in lines_of(row)]
            lines += ["", *title, *columns(head, body)] if body else []
        return "\n".join(lines)


def _settings_line(settings: dict[str, Any]) -> str:
    threads = settings["threads"]
    where = settings["processor"] or f"{threads} thread{'s' if threads > 1 else ''}"
    return f"timed on {settings['device']} ({where}), {settings['frames']} frames after {settings['warmup']} batches"


def _cost(row: Row) -> Lines:
    works = (row.cost.template.total, row.cost.frame.total, row.cost.both.total, row.cost.both.attention)
    size = f"{row.template}/{row.search}"
    return [[row.experiment, size, f"{row.cost.parameters / 1e6:.2f}", *(f"{work / 1e9:.3f}" for work in works)]]


def _frames(row: Row) -> Lines:
    return [
        [
            row.experiment,
            times.form,
            f"{times.batch}",
            *(f"{value:.2f}" for value in (times.template.median, times.find.median)),
            *(f"{value:.2f}" for value in (times.whole.median, times.whole.p95, times.processor.median)),
            f"{1000 / times.whole.median:.1f}",
            *(
                f"{getattr(times, name).median / getattr(row.frames[0], name).median:.2f}"
                for name in ("find", "whole", "processor")
            ),
        ]
        for times in row.frames
    ]


def _steps(row: Row) -> Lines:
    return [
        [row.experiment, s.clock, *(f"{part:.3f}" for part in (s.look, s.normalize, s.choose, s.place, s.total))]
        for s in row.steps
    ]


def _engine(row: Row) -> Lines:
    return [
        [
            row.experiment,
            times.form,
            f"{times.slots or '-'}",
            f"{times.frames_per_second:.1f}",
            f"{times.frames_per_second / row.engine[0].frames_per_second:.2f}",
        ]
        for times in row.engine
    ]


def _training(row: Row) -> Lines:
    return [
        [
            row.experiment,
            times.precision,
            f"{times.pairs}",
            *(f"{value:.2f}" for value in (times.milliseconds, times.processor)),
            f"{1000 / times.milliseconds:.1f}",
            f"{times.kept:.0f}",
            "-" if times.peak is None else f"{times.peak:.0f}",
            f"{times.milliseconds / row.training[0].milliseconds:.2f}",
            f"{times.kept / row.training[0].kept:.2f}",
        ]
        for times in row.training
    ]


# Lines above a table, its head, and its lines for a row; costs first.
_TABLES: tuple[tuple[list[str], list[str], abc.Callable[[Row], Lines]], ...] = (
    (
        [
            "Multiply-adds (G): of a target once, of each frame, and both in one pass as papers count;",
            "of these the products of attention, the rest linear layers and convolutions",
        ],
        ["experiment", "crops", "params (M)", "target", "frame", "both", "attention"],
        _cost,
    ),
    (
        [
            "Milliseconds a frame: the network on a target, on a later frame, that frame end to end without decoding",
            "(medians, what 95 % stay below, processor time of all threads); x: parts of an experiment's first line",
        ],
        [
            *("experiment", "form", "batch", "target", "network", "end to end", "p95", "processor", "frames/s"),
            *("x network", "x end to end", "x processor"),
        ],
        _frames,
    ),
    (
        ["Milliseconds of a frame's parts but the network, eager fp32 (medians)"],
        ["experiment", "clock", "crop", "normalize", "choose", "box", "all"],
        _steps,
    ),
    (
        [
            "Frames a second of the engine from JPEG files of 1280 x 720; x: multiples of those of a tracker, which",
            "takes one frame after the other (no slots)",
        ],
        ["experiment", "form", "slots", "frames/s", "x"],
        _engine,
    ),
    (
        [
            "Training, forward and backward pass: milliseconds a pair, by the clock and of the processor; MiB that a",
            "group keeps for the backward pass, and takes at most on a GPU; x: parts of an experiment's first line",
        ],
        [
            *("experiment", "precision", "group", "ms/pair", "processor", "pairs/s", "kept", "peak"),
            *("x time", "x kept"),
        ],
        _training,
    ),
)
