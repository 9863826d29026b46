"""Plots of scores: curves over thresholds, scores by attribute and reliability, trackers together."""

import io
import textwrap
from collections import abc
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.runtime.escapes import printable, printable_lines
from lib.runtime.files import replacing

# The name of each kind of curve, and the words under its axis.
CURVE_KINDS = {
    "success": ("success", "overlap threshold"),
    "precision": ("precision", "center error threshold, pixels"),
    "norm_precision": ("normalized precision", "center error threshold, in target sizes"),
}

# Okabe and Ito's eight colors for the color-blind, with gray for their yellow, which is invisible on white.
LINE_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#8A8A8A")
DASHES = ("solid", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (9, 2)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 3)))
MARKERS = "os^XDvP*<>"
MARKS = 8  # on each line
INCHES = 5.0  # a side of the axes with their labels
FONT_SIZE = 9  # points
NARROW, WIDE = 22, 54  # characters of a legend's line in two columns and in one


class Line(NamedTuple):
    """A tracker's curve: shares of frames (0 to 1) at ``thresholds``, both ``[T]``, and its score, a fraction. Both are
    None for a tracker without a curve, and the legend notes it."""

    label: str
    thresholds: np.ndarray | None
    shares: np.ndarray | None
    score: float | None


def draw_curves(
    kind: str, lines: abc.Sequence[Line], title: str, protocol: str, score: str, attribute: str = ""
) -> Figure:
    """Curves of one of ``CURVE_KINDS``, the best first in the legend with its score in percent.

    Above them are the ``title``, the ``protocol``, the ``score`` and, if any, the ``attribute`` that restricts the
    sequences. A line looks the same in every plot whose labels have the same order.
    """
    name, axis = CURVE_KINDS[kind]
    figure, axes = _curves(lines, max(1, len(lines[0].thresholds) // MARKS))
    axes.set(xlabel=axis, ylabel="share of frames", xlim=(0, max(line.thresholds[-1] for line in lines)), ylim=(0, 1))
    _title(axes, f"{name}, {title}", attribute, f"{score} in percent by protocol {protocol}")
    return figure


def draw_reliability(lines: abc.Sequence[Line], title: str) -> Figure:
    """How often the box is on the target, by the tracker's score: ``thresholds`` are mean scores of bins, ``shares``
    the frames of the bin on the target, and ``score`` is the AUROC. On the diagonal the score is the probability."""
    figure, axes = _curves(lines, 1)
    scores = np.concatenate([line.thresholds for line in lines])
    axes.axline((0, 0), slope=1, color="0.6", linewidth=0.8, zorder=0)
    span = min(0.0, float(scores.min())), max(1.0, float(scores.max()))
    axes.set(xlabel="mean score of a bin of frames", ylabel="share of frames on the target")
    axes.set(xlim=span, ylim=(-0.02, 1.02))
    _title(axes, f"reliability of the score, {title}", "on the target: overlap above 0.5", "[AUROC in percent]")
    return figure


def draw_radar(
    lines: abc.Sequence[Line], attributes: abc.Sequence[str], title: str, protocol: str, score: str
) -> Figure:
    """Polygons of the scores by attribute, in percent: ``shares`` are a tracker's scores for the ``attributes``, NaN
    where there is none, and ``score`` is the one over all sequences. ``thresholds`` are not used.

    The center is a round number below the least score, and the words above name it. The legend has the best first.
    """
    figure = Figure(figsize=(INCHES, INCHES))
    axes = figure.subplots(subplot_kw={"projection": "polar"})
    angles = np.linspace(0, 2 * np.pi, len(attributes) + 1)
    percent = 100 * np.array([[*line.shares, line.shares[0]] for line in lines])
    for number, row in enumerate(percent):
        axes.plot(angles, row, **_style(number, 1) | {"markersize": 2.5})
    low, high = _round_span(percent[np.isfinite(percent)])
    axes.set(ylim=(low, high), theta_offset=np.pi / 2, theta_direction=-1)
    axes.set_thetagrids(np.degrees(angles[:-1]), list(map(printable, attributes)), fontsize=FONT_SIZE, parse_math=False)
    axes.set_rgrids(np.arange(low, high + 1, 10), fontsize=FONT_SIZE - 1, angle=180 / len(attributes))
    _title(axes, f"attributes, {title}", f"{score} in percent by protocol {protocol}", f"the center is {low}")
    _legend(axes, lines)
    return figure


def encode_figure(figure: Figure, form: str) -> bytes:
    """The figure as ``pdf``, ``png`` or ``svg``, as large as its content. Letters stay letters (in a PDF of type 42,
    which publishers ask for), and no date makes two files differ."""
    stream = io.BytesIO()
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with matplotlib.rc_context({"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "figure"}):
        figure.savefig(stream, format=form, dpi=150, bbox_inches="tight", metadata=dates.get(form))
    return stream.getvalue()


def write_figure(figure: Figure, *files: Path) -> None:
    """Write the figure in the format of each file's suffix; folders are made."""
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as stream:
            stream.write(encode_figure(figure, file.suffix[1:]))


def _curves(lines: abc.Sequence[Line], step: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(INCHES, INCHES))
    axes = figure.subplots()
    for number, line in enumerate(lines):
        points = (line.thresholds, line.shares) if line.shares is not None else ([], [])
        axes.plot(*points, **_style(number, step))
    axes.grid(alpha=0.3)
    _legend(axes, lines)
    return figure, axes


def _round_span(percent: np.ndarray) -> tuple[int, int]:
    """Multiples of 10 around the scores, with a step below so that the least is no point in the middle."""
    if not len(percent):
        return 0, 100
    low = max(0, min(80, 10 * int(np.floor(percent.min() / 10)) - 10))
    return low, max(10 * int(np.ceil(percent.max() / 10)), low + 20)


def _style(number: int, step: int) -> dict[str, Any]:
    """Color, dash and marker change together, at different periods, so that no two of the first 280 are the same."""
    return {
        "color": LINE_COLORS[number % len(LINE_COLORS)],
        "linestyle": DASHES[number % len(DASHES)],
        "linewidth": 1.5,
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 3.5,
        "markevery": (number % step, step),
    }


def _title(axes: Axes, *lines: str) -> None:
    axes.set_title(printable_lines(line for line in lines if line), fontsize=FONT_SIZE, parse_math=False)


def _legend(axes: Axes, lines: abc.Sequence[Line]) -> None:
    """Below the axes, the best first, those without a score last; an underscore or ``$`` in a label has no effect."""
    scores = np.array([line.score for line in lines], np.float64)  # None becomes NaN, which is sorted last
    order = np.argsort(-scores, kind="stable")
    numbers = ["no score" if np.isnan(score) else f"{100 * score:.1f}" for score in scores]
    words = [f"{printable(lines[n].label)} [{numbers[n]}]" for n in order]
    short = all(len(each) <= NARROW for each in words)
    legend = axes.legend(
        [axes.get_lines()[n] for n in order],
        ["\n".join(textwrap.wrap(each, NARROW if short else WIDE)) for each in words],
        loc="upper left",
        bbox_to_anchor=(0, -0.12),
        borderaxespad=0,
        ncols=2 if short else 1,
        fontsize=FONT_SIZE,
        handlelength=4,
        frameon=False,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
