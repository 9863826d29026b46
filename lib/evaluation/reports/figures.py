"""Comparisons as pictures: curves of every protocol that was asked for, and scores by attribute."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.reports.comparison import CURVES, Comparison, Entry
from lib.visualization.plots import Line, plot_curves, plot_radar, plot_reliability

MIN_RADAR = 3  # attributes; fewer make no polygon


def write_figures(comparison: Comparison, folder: Path, by_attribute: bool = False) -> list[Path]:
    """Success, precision and normalised precision, as far as the protocols have them, and a radar plot of the scores by
    attribute, each as PDF and PNG; ``by_attribute`` adds the success of each attribute's sequences. With confidence the
    reliability curves are among them.

    Of trackers without a set score by a protocol the plots say so. The files that were written.
    """
    files: list[Path] = []
    for protocol in comparison.protocols:
        stem = folder / f"{comparison.benchmark}_{protocol}"
        for kind in CURVES:
            lines = _lines(comparison, protocol, kind)
            if _any_drawn(lines):
                name = _score_of(comparison, protocol, kind)
                files += plot_curves(kind, lines, comparison.title, protocol, name, _named(stem, kind))
        if len(comparison.attributes) >= MIN_RADAR:
            files += _radar(comparison, protocol, _named(stem, "attributes"))
        if by_attribute:
            files += _success_by_attribute(comparison, protocol, stem)
    if any(not isinstance(found, str) for found in comparison.confidence.values()):
        stem = folder / f"{comparison.benchmark}_confidence"
        files += plot_reliability(_reliabilities(comparison), comparison.title, stem)
    return files


def _reliabilities(comparison: Comparison) -> list[Line]:
    """The curve of each tracker, without points where it keeps no scores."""
    return [
        Line(label, np.empty(0), None, None)
        if isinstance(found, str)
        else Line(label, found.reliability.scores, found.reliability.shares, found.auroc)
        for label, found in comparison.confidence.items()
    ]


def _lines(comparison: Comparison, protocol: str, kind: str) -> list[Line]:
    thresholds = dict(zip(CURVES, PROTOCOLS[protocol].thresholds, strict=True))[kind]
    name = _score_of(comparison, protocol, kind)
    curves = [(entry, entry.curve(protocol, kind)) for entry in comparison.entries]
    return [
        Line(entry.label, thresholds, curve, None if curve is None else entry.values(protocol)[name].mean)
        for entry, curve in curves
    ]


def _any_drawn(lines: list[Line]) -> bool:
    return any(line.shares is not None for line in lines)


def _score_of(comparison: Comparison, protocol: str, kind: str) -> str:
    """The score that is read off this curve; empty where nothing was scored."""
    known = comparison.score_names(protocol)
    return next((name for name in CURVES[kind] if name in known), "")


def _radar(comparison: Comparison, protocol: str, stem: Path) -> tuple[Path, ...]:
    name = _score_of(comparison, protocol, "success")
    rows: dict[str, list[float | None]] = {}
    overall: dict[str, float | None] = {}
    for entry in comparison.entries:
        parts = [entry.part_values(protocol, names) for names in comparison.attributes.values()]
        whole = entry.values(protocol)
        rows[entry.label] = [part[name].mean if name in part else None for part in parts]
        overall[entry.label] = whole[name].mean if name in whole else None
    if not name or all(value is None for row in rows.values() for value in row):
        return ()
    return plot_radar(rows, list(comparison.attributes), overall, comparison.title, protocol, name, stem)


def _success_by_attribute(comparison: Comparison, protocol: str, stem: Path) -> list[Path]:
    files: list[Path] = []
    name = _score_of(comparison, protocol, "success")
    for short, names in comparison.attributes.items():
        lines = [_part_line(entry, protocol, names, name) for entry in comparison.entries]
        if _any_drawn(lines):
            words = f"{comparison.attribute_names[short]} ({len(names)} sequences)"
            place = _named(stem, f"success_{_as_file(short)}")
            files += plot_curves("success", lines, comparison.title, protocol, name, place, words)
    return files


def _part_line(entry: Entry, protocol: str, names: frozenset[str], score: str) -> Line:
    parts = [run.scores.part(protocol, names) for run in entry.runs]
    if any(part is None for part in parts):
        return Line(entry.label, PROTOCOLS[protocol].thresholds[0], None, None)
    shares = np.mean([part.success for part in parts], axis=0)
    return Line(entry.label, PROTOCOLS[protocol].thresholds[0], shares, entry.part_values(protocol, names)[score].mean)


def _named(stem: Path, what: str) -> Path:
    return stem.with_name(f"{stem.name}_{what}")


def _as_file(short: str) -> str:
    """A user's short name as part of a file's name; one that cannot be that gets digits that no other has."""
    name = "".join(character if character.isalnum() or character in "-_" else "_" for character in short[:40])
    digits = hashlib.sha256(short.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return name if name == short else f"{name}-{digits}"
