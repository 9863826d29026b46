"""Plots of scores as PDF and PNG: curves over thresholds, scores by attribute and reliability, trackers together."""

import textwrap
from collections import abc
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lib.runtime.escapes import printable, printable_lines
from lib.runtime.files import replacing

# The name of each kind of curve, and the words under its axis.
KINDS = {
    "success": ("success", "overlap threshold"),
    "precision": ("precision", "center error threshold, pixels"),
    "norm_precision": ("normalized precision", "center error threshold, in target sizes"),
}

# Okabe and Ito's eight colors for the color-blind, with gray for their yellow, which is invisible on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#8A8A8A")
DASHES = ("solid", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (9, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 3)))
MARKERS = "os^XDvP*<>"
MARKS = 8  # on each line
FONT = 8  # points, in the legend
LEGEND_WIDTH = 40  # characters


class Line(NamedTuple):
    """A tracker's curve: shares of frames (0 to 1) at ``thresholds``, both ``[T]``, and its score, a fraction. Both are
    None for a tracker without a curve, and the legend notes it."""

    label: str
    thresholds: np.ndarray
    shares: np.ndarray | None
    score: float | None


def plot_curves(
    kind: str, lines: abc.Sequence[Line], benchmark: str, protocol: str, score: str, stem: Path, attribute: str = ""
) -> tuple[Path, Path]:
    """Curves of one of ``KINDS``, the best first in the legend with its score in percent.

    The title names the ``benchmark``, the ``protocol``, the ``score`` and, if any, the ``attribute`` that restricts the
    sequences. A line looks the same in every plot whose labels have the same order. Writes ``<stem>.pdf`` and
    ``<stem>.png`` and returns their paths; folders are made.
    """
    name, axis = KINDS[kind]
    figure, axes = _curves(lines, max(1, len(lines[0].thresholds) // MARKS))
    axes.set(xlabel=axis, ylabel="share of frames", xlim=(0, max(line.thresholds[-1] for line in lines)), ylim=(0, 1))
    _title(axes, f"{name}, {benchmark}", attribute, f"{score} in percent by protocol {protocol}")
    return _save(figure, stem)


def plot_reliability(lines: abc.Sequence[Line], benchmark: str, stem: Path) -> tuple[Path, Path]:
    """How often the box is on the target, by the tracker's score: ``thresholds`` are mean scores of bins, ``shares``
    the frames of the bin on the target, and ``score`` is the AUROC.

    On the diagonal the score is the probability. Files are as ``plot_curves`` writes them.
    """
    figure, axes = _curves(lines, 1)
    scores = np.concatenate([line.thresholds for line in lines])
    axes.axline((0, 0), slope=1, color="0.6", linewidth=0.8, zorder=0)
    span = min(0.0, float(scores.min())), max(1.0, float(scores.max()))
    axes.set(xlabel="mean score of a bin of frames", ylabel="share of frames on the target")
    axes.set(xlim=span, ylim=(-0.02, 1.02))
    _title(axes, f"reliability of the score, {benchmark}", "on the target: overlap above 0.5", "[AUROC in percent]")
    return _save(figure, stem)


def _curves(lines: abc.Sequence[Line], step: int) -> tuple[Figure, Axes]:
    """The lines with a marker at every ``step``-th point, a grid and the legend."""
    assert any(line.shares is not None for line in lines), "a curve at least"
    figure = _figure([line.label for line in lines])
    axes = figure.subplots()
    handles = []
    for number, line in enumerate(lines):
        points = ([], []) if line.shares is None else (line.thresholds, line.shares)
        handles += axes.plot(*points, **_style(number, step))
    axes.grid(alpha=0.3)
    _legend(figure, handles, [line.label for line in lines], [line.score for line in lines])
    return figure, axes


def plot_radar(
    scores: abc.Mapping[str, abc.Sequence[float | None]],
    attributes: abc.Sequence[str],
    overall: abc.Mapping[str, float | None],
    benchmark: str,
    protocol: str,
    score: str,
    stem: Path,
) -> tuple[Path, Path]:
    """Under each label a score (a fraction) for each attribute, None where there is none, as a polygon, in percent.

    The center is a round number below the least score, and the title names it. The legend has the ``overall``
    score of each label, the best first; files are as ``plot_curves`` writes them. Raises ``ValueError`` for fewer than
    three attributes, which make no polygon.
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
        handles += axes.plot(angles, percent, **_style(number, 1) | {"markersize": 2.5})
    known = [100 * value for row in scores.values() for value in row if value is not None and np.isfinite(value)]
    low, high = _round_span(known)
    axes.set(ylim=(low, high), theta_offset=np.pi / 2, theta_direction=-1)
    axes.set_thetagrids(np.degrees(angles[:-1]), list(map(printable, attributes)), fontsize=FONT, parse_math=False)
    axes.set_rgrids(np.arange(low, high + 1, 10), fontsize=FONT - 1, angle=180 / len(attributes))
    _title(axes, f"attributes, {benchmark}", f"{score} in percent by protocol {protocol}", f"the center is {low}")
    _legend(figure, handles, list(scores), [overall[label] for label in scores])
    return _save(figure, stem)


def _round_span(percent: abc.Sequence[float]) -> tuple[int, int]:
    """Multiples of 10 around the scores, with a step below so that the least is no point in the middle."""
    if not percent:
        return 0, 100
    low = max(0, min(80, 10 * int(np.floor(min(percent) / 10)) - 10))
    return low, max(10 * int(np.ceil(max(percent) / 10)), low + 20)


def _figure(labels: abc.Sequence[str]) -> Figure:
    """Room for square axes and, on their right, for the legend."""
    names = [_wrapped(f"{printable(label)} [no score]") for label in labels]
    words = max(len(line) for name in names for line in name.splitlines())
    lines = sum(name.count("\n") + 1 for name in names)
    return Figure(figsize=(5.4 + FONT * 0.0082 * words, max(4.6, 1 + FONT * 0.021 * lines)), layout="constrained")


def _wrapped(words: str) -> str:
    """A long name in lines of at most ``LEGEND_WIDTH`` characters, so that the legend leaves room for the axes."""
    return "\n".join(textwrap.wrap(words, LEGEND_WIDTH)) if len(words) > LEGEND_WIDTH else words


def _style(number: int, step: int) -> dict[str, Any]:
    """Color, dash and marker change together, at different periods, so that no two of the first 280 are the same."""
    return {
        "color": COLORS[number % len(COLORS)],
        "linestyle": DASHES[number % len(DASHES)],
        "linewidth": 1.5,
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 3.5,
        "markevery": (number % step, step),
    }


def _title(axes: Axes, *lines: str) -> None:
    axes.set_title(printable_lines(line for line in lines if line), fontsize=FONT + 2, parse_math=False)


def _legend(
    figure: Figure, handles: abc.Sequence[Line2D], labels: abc.Sequence[str], scores: abc.Sequence[float | None]
) -> None:
    """The best first, those without a score last; an underscore or ``$`` in a label has no effect."""
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
