"""Confidence intervals of a set's scores: its sequences are drawn again with replacement (the percentile bootstrap of
Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13)."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.reports.comparison import ComparedTracker, Comparison

LEVEL = 0.95


class Bootstrap(NamedTuple):
    """How many sets are drawn, and the seed of the draw."""

    times: int = 1000
    seed: int = 0

    @property
    def words(self) -> str:
        """The method with its numbers, for titles."""
        return f"percentile bootstrap, N = {self.times}, seed {self.seed}"

    def draw(self, sequences: int) -> np.ndarray:
        """float64 ``[times, sequences]``: how often each sequence is in each drawn set of as many sequences.

        Equal numbers give equal sets, so compared trackers are scored on the same ones.
        """
        drawn = np.random.default_rng(self.seed).integers(sequences, size=(self.times, sequences))
        drawn += sequences * np.arange(self.times)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=self.times * sequences)
        return counts.reshape(self.times, sequences).astype(np.float64)


def drawn_scores(entry: ComparedTracker, protocol: str, draws: np.ndarray) -> dict[str, np.ndarray]:
    """Each score (fractions) of every drawn set, ``[times]``: means over the tracker's runs, which are scored on the
    same sets. Empty where the protocol gives the whole set none."""
    curves = [run.curves(protocol, draws=draws) for run in entry.runs]
    if any(each is None for each in curves):
        return {}
    runs = [PROTOCOLS[protocol].values(each) for each in curves]
    return {name: np.mean([run[name] for run in runs], axis=0) for name in runs[0]}


def interval(drawn: np.ndarray) -> tuple[float, float]:
    """Lower and upper end of the percentile interval of 95 %."""
    low, high = np.percentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def with_intervals(comparison: Comparison, bootstrap: Bootstrap) -> Comparison:
    """The comparison, each entry with the ``intervals`` of all its scores."""
    draws = bootstrap.draw(len(comparison.sequences))
    entries = []
    for entry in comparison.entries:
        drawn = {protocol: drawn_scores(entry, protocol, draws) for protocol in comparison.protocols}
        found = {protocol: {name: interval(row) for name, row in rows.items()} for protocol, rows in drawn.items()}
        entries.append(replace(entry, intervals=found))
    return replace(comparison, entries=tuple(entries))


def difference_intervals(
    entry: ComparedTracker, other: ComparedTracker, protocol: str, draws: np.ndarray
) -> dict[str, tuple[float, float]]:
    """The interval of each score of ``entry`` minus that of ``other`` over the drawn sets; empty where one has none.

    Both are scored on the same sets (paired), so a set that is hard for both makes no difference.
    """
    ours, theirs = (drawn_scores(each, protocol, draws) for each in (entry, other))
    return {name: interval(ours[name] - theirs[name]) for name in ours if name in theirs}
