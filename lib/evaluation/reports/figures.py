"""Comparisons as plots: curves of every requested protocol, scores by attribute and the reliability of scores."""

import hashlib
from collections import abc
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.reports.comparison import CURVES, Comparison
from lib.evaluation.reports.tables import NO_SCORE
from lib.runtime.escapes import file_name
from lib.visualization.plots import Line, draw_curves, draw_radar, draw_reliability, write_figure

MIN_RADAR = 3  # attributes; fewer make no polygon


def write_figures(comparison: Comparison, folder: Path, by_attribute: bool = False) -> None:
    """Success, precision and normalized precision, as far as the protocols have them, and a radar plot of the scores by
    attribute, each as PDF and PNG; with confidence the reliability curves too.

    ``by_attribute`` adds the success over the sequences of each attribute. The plots name trackers without a set score.
    """
    for name, figure in _figures(comparison, by_attribute):
        if figure is not None:
            stem = f"{comparison.benchmark}_{name}"
            write_figure(figure, folder / f"{stem}.pdf", folder / f"{stem}.png")


def _figures(comparison: Comparison, by_attribute: bool) -> abc.Iterator[tuple[str, Figure | None]]:
    for protocol in comparison.protocols:
        for kind in CURVES:
            yield f"{protocol}_{kind}", curve_figure(comparison, protocol, kind)
        yield f"{protocol}_attributes", _radar(comparison, protocol)
        for short in comparison.attributes if by_attribute else ():
            yield f"{protocol}_success_{_as_file(short)}", curve_figure(comparison, protocol, "success", short)
    yield "confidence", reliability_figure(comparison)


def curve_figure(
    comparison: Comparison, protocol: str, kind: str, attribute: str | None = None, title: str = ""
) -> Figure | None:
    """The curves of one of ``CURVES``, over all sequences or those with an ``attribute``; None where no tracker has
    such a curve. The ``title`` is the comparison's unless given."""
    names = None if attribute is None else comparison.attributes[attribute]
    score, lines = _score_of(comparison, protocol, kind), []
    for entry in comparison.entries:
        curve = entry.curve(protocol, kind, names)
        values = entry.values(protocol) if names is None else entry.part_values(protocol, names)
        value = None if curve is None else values[score].value
        lines.append(Line(entry.label, PROTOCOLS[protocol].thresholds.get(kind), curve, value))
    if all(line.shares is None for line in lines):
        return None
    words = "" if names is None else f"{comparison.attribute_names[attribute]} ({len(names)} sequences)"
    return draw_curves(kind, lines, title or comparison.title, protocol, score, words)


def reliability_figure(comparison: Comparison) -> Figure | None:
    """The reliability curve of each tracker, without points where it keeps no scores; None where none keeps any."""
    lines = [
        Line(label, found.reliability.scores, found.reliability.shares if found.frames else None, found.auroc)
        for label, found in comparison.confidence.items()
    ]
    return None if all(line.shares is None for line in lines) else draw_reliability(lines, comparison.title)


def _score_of(comparison: Comparison, protocol: str, kind: str) -> str:
    """The score that the protocol reads off this curve; empty where nothing was scored."""
    known = comparison.score_names(protocol)
    return next((name for name in CURVES[kind] if name in known), "")


def _radar(comparison: Comparison, protocol: str) -> Figure | None:
    name, lines = _score_of(comparison, protocol, "success"), []
    for entry in comparison.entries:
        parts = [entry.part_values(protocol, names).get(name, NO_SCORE) for names in comparison.attributes.values()]
        shares = np.array([part.value for part in parts], np.float64)  # None becomes NaN, a gap
        lines.append(Line(entry.label, None, shares, entry.values(protocol).get(name, NO_SCORE).value))
    if len(comparison.attributes) < MIN_RADAR or all(np.isnan(line.shares).all() for line in lines):
        return None
    return draw_radar(lines, list(comparison.attributes), comparison.title, protocol, name)


def _as_file(short: str) -> str:
    """A user's short name as part of a file's name; one with other characters gets digits that no other has."""
    name = file_name(short, longest=40)
    digits = hashlib.sha256(short.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return name if name == short else f"{name}-{digits}"
