"""Plots of a training from its log."""

from collections import abc
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.runtime.json_text import parse_json
from lib.visualization.plots import write_figure

SMOOTHING = 50  # points of a smoothed curve: each is a mean over its share of the steps


def read_log(log: Path) -> dict[str, list[dict[str, Any]]]:
    """Records of a finished training's log (JSON lines) by ``kind``: ``train``, ``validation``, ``data``; in the file's
    order. Raises ``ValueError`` for a log without a training step."""
    records: dict[str, list[dict[str, Any]]] = {"train": [], "validation": []}
    for line in log.read_text(encoding="utf-8").splitlines():
        record = parse_json(line)
        records.setdefault(record["kind"], []).append(record)
    if not records["train"]:
        raise ValueError(f"{log}: no training step in it; remove its folder and train again")
    return records


def plot_training(log: Path, picture: Path, loss_terms: abc.Iterable[str]) -> None:
    """The log's loss, its terms by name, IoU and learning rates over the steps, as a PNG. Raises as ``read_log``."""
    records = read_log(log)
    train, validation = records["train"], records["validation"]
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    (loss, terms), (iou, rate) = figure.subplots(2, 2)
    for axes, key in ((loss, "loss"), (iou, "iou")):
        _line(axes, train, key, "training")
        if validation:
            axes.plot(*_points(validation, key), "o-", color="C1", markersize=4, label="held-out pairs")
        axes.legend()
    for number, key in enumerate(loss_terms):
        _line(terms, train, key, key, f"C{number}")
    terms.legend()
    for group in train[0]["lr"]:
        rate.plot([record["step"] for record in train], [record["lr"][group] for record in train], label=group)
    rate.legend()
    for axes, title in ((loss, "loss"), (terms, "loss terms, unweighted"), (iou, "IoU"), (rate, "learning rate")):
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
    for axes in (loss, terms):
        axes.set_yscale("log")
    iou.set_ylim(0, 1)
    write_figure(figure, picture)


def _points(records: list[dict[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values; a value that was not finite is null in the log and NaN here, a gap in the plot."""
    values = np.array([record[key] for record in records], np.float64)
    return np.array([record["step"] for record in records]), values


def _line(axes: Axes, records: list[dict[str, Any]], key: str, label: str, color: str = "C0") -> None:
    """The values of every step, faint, and their means over some fifty spans."""
    steps, values = _points(records, key)
    axes.plot(steps, values, color=color, alpha=0.25, linewidth=0.7)
    spans = np.array_split(np.arange(len(steps)), min(SMOOTHING, len(steps)))
    axes.plot([steps[s].mean() for s in spans], [values[s].mean() for s in spans], color=color, label=label)
