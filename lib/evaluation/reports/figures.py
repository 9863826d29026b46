"""Comparisons as plots: curves of every requested protocol, scores by attribute and the reliability of scores."""

import hashlib
from collections import abc
from pathlib import Path

import numpy as np

from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.reports.comparison import CURVES, Comparison
from lib.visualization.plots import Line, plot_curves, plot_radar, plot_reliability

MIN_RADAR = 3  # attributes; fewer make no polygon


def write_figures(comparison: Comparison, folder: Path, by_attribute: bool = False) -> list[Path]:
    """Success, precision and normalized precision, as far as the protocols have them, and a radar plot of the scores by
    attribute, each as PDF and PNG; with confidence the reliability curves too. Returns the files.

    ``by_attribute`` adds the success over the sequences of each attribute. The plots name trackers without a set score.
    """
    files: list[Path] = []
    for protocol in comparison.protocols:
        stem = f"{comparison.benchmark}_{protocol}"
        for kind in CURVES:
            files += _plot(comparison, protocol, kind, folder / f"{stem}_{kind}")
        if len(comparison.attributes) >= MIN_RADAR:
            files += _radar(comparison, protocol, folder / f"{stem}_attributes")
        for short, names in comparison.attributes.items() if by_attribute else ():
            words = f"{comparison.attribute_names[short]} ({len(names)} sequences)"
            files += _plot(comparison, protocol, "success", folder / f"{stem}_success_{_as_file(short)}", names, words)
    lines = reliability_lines(comparison)
    if _any_drawn(lines):
        files += plot_reliability(lines, comparison.title, folder / f"{comparison.benchmark}_confidence")
    return files


def curve_lines(comparison: Comparison, protocol: str, kind: str, names: abc.Set[str] | None = None) -> list[Line]:
    """The curves of one of ``CURVES``, over the sequences with these ``names`` or all."""
    thresholds = dict(zip(CURVES, PROTOCOLS[protocol].thresholds, strict=True))[kind]
    score = score_of(comparison, protocol, kind)
    lines = []
    for entry in comparison.entries:
        curve = entry.curve(protocol, kind, names)
        values = entry.values(protocol) if names is None else entry.part_values(protocol, names)
        lines.append(Line(entry.label, thresholds, curve, None if curve is None else values[score].mean))
    return lines


def reliability_lines(comparison: Comparison) -> list[Line]:
    """The reliability curve of each tracker, without points where it keeps no scores."""
    return [
        Line(label, np.empty(0), None, None)
        if isinstance(found, str)
        else Line(label, found.reliability.scores, found.reliability.shares, found.auroc)
        for label, found in comparison.confidence.items()
    ]


def score_of(comparison: Comparison, protocol: str, kind: str) -> str:
    """The score that the protocol reads off this curve; empty where nothing was scored."""
    known = comparison.score_names(protocol)
    return next((name for name in CURVES[kind] if name in known), "")


def _plot(
    comparison: Comparison,
    protocol: str,
    kind: str,
    stem: Path,
    names: abc.Set[str] | None = None,
    attribute: str = "",
) -> tuple[Path, ...]:
    lines = curve_lines(comparison, protocol, kind, names)
    if not _any_drawn(lines):
        return ()
    return plot_curves(kind, lines, comparison.title, protocol, score_of(comparison, protocol, kind), stem, attribute)


def _any_drawn(lines: abc.Iterable[Line]) -> bool:
    return any(line.shares is not None for line in lines)


def _radar(comparison: Comparison, protocol: str, stem: Path) -> tuple[Path, ...]:
    name = score_of(comparison, protocol, "success")
    rows: dict[str, list[float | None]] = {}
    overall: dict[str, float | None] = {}
    for entry in comparison.entries:
        parts = [entry.part_values(protocol, names) for names in comparison.attributes.values()]
        *rows[entry.label], overall[entry.label] = (
            part[name].mean if name in part else None for part in (*parts, entry.values(protocol))
        )
    if all(value is None for row in rows.values() for value in row):
        return ()
    return plot_radar(rows, list(comparison.attributes), overall, comparison.title, protocol, name, stem)


def _as_file(short: str) -> str:
    """A user's short name as part of a file's name; one with other characters gets digits that no other has."""
    name = "".join(character if character.isalnum() or character in "-_" else "_" for character in short[:40])
    digits = hashlib.sha256(short.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return name if name == short else f"{name}-{digits}"
