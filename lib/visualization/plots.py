"""Plots of scores: curves over thresholds and scores by attribute, several trackers in one, each as PDF and PNG."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lib.runtime.escapes import printable, printable_lines
from lib.runtime.files import replacing

# What each kind of curve is called, and the words under its axis.
KINDS = {
    "success": ("success", "overlap threshold"),
    "precision": ("precision", "centre error threshold, pixels"),
    "norm_precision": ("normalised precision", "centre error threshold, in target sizes"),
}

# Okabe and Ito's eight, told apart by the colour-blind; a grey stands for their yellow, which is lost on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#8A8A8A")
DASHES = ("solid", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (9, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 3)))
MARKERS = "os^XDvP*<>"
MARKS = 8  # on each line
FONT = 8  # points, in the legend
LEGEND_WIDTH = 40  # characters


class Line(NamedTuple):
    """A tracker's curve: shares of frames (0 to 1) at ``thresholds``, both ``[T]``, and the score that its protocol
    reads off it, a fraction. Both are None of a tracker without a curve, which the legend says."""

    label: str
    thresholds: np.ndarray
    shares: np.ndarray | None
    score: float | None


def plot_curves(
    kind: str, lines: Sequence[Line], benchmark: str, protocol: str, score: str, stem: Path, attribute: str = ""
) -> tuple[Path, Path]:
    """Curves of one of ``KINDS``, the best first in the legend with its score in percent.

    The title names the ``benchmark``, the ``protocol``, the ``score`` and, in words, the ``attribute`` whose sequences
    alone are counted, if any. A line looks the same in every plot whose labels have the same order. Writes
    ``<stem>.pdf`` and ``<stem>.png`` and returns their paths; folders are made.
    """
    assert any(line.shares is not None for line in lines), "a curve at least"
    name, axis = KINDS[kind]
    figure = _figure([line.label for line in lines])
    axes = figure.subplots()
    handles = [
        axes.plot(*points, **_style(number, len(line.thresholds)))[0]
        for number, line in enumerate(lines)
        for points in [([], []) if line.shares is None else (line.thresholds, line.shares)]
    ]
    longest = max(line.thresholds[-1] for line in lines)
    axes.set(xlabel=axis, ylabel="share of frames", xlim=(0, longest), ylim=(0, 1))
    axes.grid(alpha=0.3)
    _title(axes, f"{name}, {benchmark}", attribute, f"{score} in percent by protocol {protocol}")
    _legend(figure, handles, [line.label for line in lines], [line.score for line in lines])
    return _save(figure, stem)


def plot_reliability(lines: Sequence[Line], benchmark: str, stem: Path) -> tuple[Path, Path]:
    """How often the box is on the target, by the tracker's score: of each line the ``thresholds`` are mean scores of
    bins, ``shares`` the frames of the bin on the target, and ``score`` is the AUROC.

    On the diagonal the score is the probability. Files are as ``plot_curves`` writes them.
    """
    assert any(line.shares is not None for line in lines), "a curve at least"
    figure = _figure([line.label for line in lines])
    axes = figure.subplots()
    handles = []
    for number, line in enumerate(lines):
        points = ([], []) if line.shares is None else (line.thresholds, line.shares)
        handles += axes.plot(*points, **_style(number, MARKS) | {"markevery": 1})
    scores = np.concatenate([line.thresholds for line in lines])
    axes.axline((0, 0), slope=1, color="0.6", linewidth=0.8, zorder=0)
    span = min(0.0, float(scores.min())), max(1.0, float(scores.max()))
    axes.set(xlabel="mean score of a bin of frames", ylabel="share of frames on the target")
    axes.set(xlim=span, ylim=(-0.02, 1.02))
    axes.grid(alpha=0.3)
    _title(axes, f"reliability of the score, {benchmark}", "on the target: overlap above 0.5", "[AUROC in percent]")
    _legend(figure, handles, [line.label for line in lines], [line.score for line in lines])
    return _save(figure, stem)


def plot_radar(
    scores: Mapping[str, Sequence[float | None]],
    attributes: Sequence[str],
    overall: Mapping[str, float | None],
    benchmark: str,
    protocol: str,
    score: str,
    stem: Path,
) -> tuple[Path, Path]:
    """Under each label a score (a fraction) for each attribute, None where there is none, as a polygon, in percent.

    The centre stands for a round number below the least score, and the title says which. The legend has the ``overall``
    score of each label, the best first; files are as ``plot_curves`` writes them. Raises ``ValueError`` for fewer than
    three attributes, of which there is no polygon.
    """
    if len(attributes) < 3:
        raise ValueError(f"{stem.name}: {len(attributes)} attributes make no radar plot; 3 at least are needed")
    figure = _figure(list(scores))
    axes = figure.subplots(subplot_kw={"projection": "polar"})
    angles = np.linspace(0, 2 * np.pi, len(attributes) + 1)
    handles = []
    for number, row in enumerate(scores.values()):
        assert len(row) == len(attributes), (len(row), attributes)
        percent = 100 * np.array([*row, row[0]], dtype=np.float64)  # None becomes NaN, a gap
        handles += axes.plot(angles, percent, **_style(number, MARKS) | {"markevery": 1, "markersize": 2.5})
    known = [100 * value for row in scores.values() for value in row if value is not None and np.isfinite(value)]
    low, high = _round_span(known)
    axes.set(ylim=(low, high), theta_offset=np.pi / 2, theta_direction=-1)
    axes.set_thetagrids(np.degrees(angles[:-1]), list(map(printable, attributes)), fontsize=FONT, parse_math=False)
    axes.set_rgrids(np.arange(low, high + 1, 10), fontsize=FONT - 1, angle=180 / len(attributes))
    _title(axes, f"attributes, {benchmark}", f"{score} in percent by protocol {protocol}", f"the centre is {low}")
    _legend(figure, handles, list(scores), [overall[label] for label in scores])
    return _save(figure, stem)


def _round_span(percent: Sequence[float]) -> tuple[int, int]:
    """Multiples of 10 around the scores, with a step below so that the least is no point in the middle."""
    if not percent:
        return 0, 100
    low = max(0, min(80, 10 * int(np.floor(min(percent) / 10)) - 10))
    return low, max(10 * int(np.ceil(max(percent) / 10)), low + 20)


def _figure(labels: Sequence[str]) -> Figure:
    """Room for square axes and, on their right, for the legend."""
    names = [_wrapped(f"{printable(label)} [no score]") for label in labels]
    words = max(len(line) for name in names for line in name.splitlines())
    lines = sum(name.count("\n") + 1 for name in names)
    return Figure(figsize=(5.4 + FONT * 0.0082 * words, max(4.6, 1 + FONT * 0.021 * lines)), layout="constrained")


def _wrapped(words: str) -> str:
    """A long name in lines of at most ``LEGEND_WIDTH`` characters, so that the legend leaves room for the axes."""
    return "\n".join(textwrap.wrap(words, LEGEND_WIDTH)) if len(words) > LEGEND_WIDTH else words


def _style(number: int, points: int) -> dict[str, Any]:
    """Colour, dash and marker change together, at different periods, so that no two of the first 280 are the same."""
    step = max(1, points // MARKS)
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": DASHES[number % len(DASHES)],
        "linewidth": 1.5,
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 3.5,
        "markevery": (number % step, step),
    }


def _title(axes: Axes, *lines: str) -> None:
    axes.set_title(printable_lines(line for line in lines if line), fontsize=FONT + 2, parse_math=False)


def _legend(figure: Figure, handles: Sequence[Line2D], labels: Sequence[str], scores: Sequence[float | None]) -> None:
    """The best first, those without a score last; no underscore or ``$`` of a label is obeyed."""
    known = [score if score is not None and np.isfinite(score) else None for score in scores]
    order = sorted(range(len(labels)), key=lambda number: np.inf if known[number] is None else -known[number])
    numbers = ["no score" if score is None else f"{100 * score:.1f}" for score in known]
    words = [_wrapped(f"{printable(labels[n])} [{numbers[n]}]") for n in order]
    legend = figure.legend(
        [handles[n] for n in order], words, loc="outside right upper", fontsize=FONT, handlelength=4, frameon=False
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Both files; the PDF's letters stay letters (type 42, which publishers ask for), and no date makes two differ."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    files = stem.with_name(f"{stem.name}.pdf"), stem.with_name(f"{stem.name}.png")
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        with replacing(files[0]) as file:
            figure.savefig(file, format="pdf", metadata={"CreationDate": None})
        with replacing(files[1]) as file:
            figure.savefig(file, format="png", dpi=150)
    return files
