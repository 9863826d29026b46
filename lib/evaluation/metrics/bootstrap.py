"""Confidence intervals of a set's scores, by drawing its sequences again with replacement (the percentile bootstrap of
Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13)."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.metrics.scoring import SetScores
from lib.evaluation.reports.comparison import Comparison, Entry

LEVEL = 0.95
_CURVE_OF = {"P": 1, "Pnorm": 2}  # which of a protocol's three weights a score has; the others are of success


class Bootstrap(NamedTuple):
    """How many sets are drawn, and the seed that decides which."""

    times: int = 1000
    seed: int = 0

    def __str__(self) -> str:
        return f"percentile bootstrap, N = {self.times}, seed {self.seed}"

    def draw(self, sequences: int) -> np.ndarray:
        """float64 ``[times, sequences]``: how often each sequence is in each drawn set of as many sequences.

        The same numbers give the same sets, so trackers that are compared are scored on the same ones.
        """
        drawn = np.random.default_rng(self.seed).integers(sequences, size=(self.times, sequences))
        drawn += sequences * np.arange(self.times)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=self.times * sequences)
        return counts.reshape(self.times, sequences).astype(np.float64)


def drawn_scores(scores: SetScores, protocol: str, draws: np.ndarray) -> dict[str, np.ndarray]:
    """Each score (fractions) of every drawn set, ``[times]``; empty where the protocol gives the whole set none.

    They are what the protocol's ``join`` makes of the drawn sequences: GOT-10k's pools their frames, LaSOT's leaves out
    those whose curve is empty. A score that is no number for one sequence is none for any drawn set.
    """
    if scores.overall[protocol] is None:
        return {}
    values = [entry.values(protocol) for entry in scores.sequences]
    weights = np.array([PROTOCOLS[protocol].weights(entry.curves[protocol]) for entry in scores.sequences])
    return {
        name: _weighted_means(np.array([row[name] for row in values]), weights[:, _CURVE_OF.get(name, 0)], draws)
        for name in values[0]
    }


def entry_scores(entry: Entry, protocol: str, draws: np.ndarray) -> dict[str, np.ndarray]:
    """The same of a tracker: means over its runs, which are scored on the same drawn sets."""
    runs = [drawn_scores(run.scores, protocol, draws) for run in entry.runs]
    return {name: np.mean([run[name] for run in runs], axis=0) for name in runs[0]} if all(runs) else {}


def interval(drawn: np.ndarray) -> tuple[float, float]:
    """Lower and upper end of the percentile interval of 95 %."""
    low, high = np.percentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def with_intervals(comparison: Comparison, bootstrap: Bootstrap) -> Comparison:
    """The comparison, each entry with the ``intervals`` of all its scores."""
    draws = bootstrap.draw(len(comparison.sequences))
    entries = []
    for entry in comparison.entries:
        drawn = {protocol: entry_scores(entry, protocol, draws) for protocol in comparison.protocols}
        found = {protocol: {name: interval(row) for name, row in rows.items()} for protocol, rows in drawn.items()}
        entries.append(replace(entry, intervals=found))
    return replace(comparison, entries=tuple(entries))


def difference_intervals(
    entry: Entry, other: Entry, protocol: str, bootstrap: Bootstrap
) -> dict[str, tuple[float, float]]:
    """The interval of each score of ``entry`` minus that of ``other``; empty where one has none.

    Both are scored on the same drawn sets (paired): what makes a set hard for both is no difference, so it is often
    narrower than the intervals of the two would have it.
    """
    draws = bootstrap.draw(len(entry.runs[0].scores.sequences))
    ours, theirs = (entry_scores(each, protocol, draws) for each in (entry, other))
    return {name: interval(ours[name] - theirs[name]) for name in ours if name in theirs}


def _weighted_means(values: np.ndarray, weights: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """The mean of ``values`` by ``weights``, both ``[S]``, in each of ``draws`` ``[times, S]``; a set of sequences that
    all count nothing has the value that each of them has."""
    totals = draws @ weights
    sums = draws @ np.where(weights > 0, values * weights, 0)
    with np.errstate(invalid="ignore"):
        return np.where(totals > 0, sums / totals, values[np.argmin(weights)])
