"""Trackers side by side on one benchmark: what every table, picture and page is made from."""

from collections import abc
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from lib.config.schema import suggest
from lib.data.types import Sequence
from lib.evaluation.benchmarks import find_benchmark, named_part, part_in_words
from lib.evaluation.metrics.attributes import NO_ATTRIBUTES, Attributes
from lib.evaluation.metrics.confidence import Confidence, confidence_of
from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.metrics.scoring import ScoredRun, score_set
from lib.evaluation.reports.tables import NO_SCORE, Cell
from lib.evaluation.results.folder import sweep_warning
from lib.evaluation.results.result_set import ResultSet

ALL_PROTOCOLS = "all"
# The curves a protocol may have, and the names of the score that it reads off each.
CURVES = {"success": ("AUC", "AO"), "precision": ("P",), "norm_precision": ("Pnorm",)}
SHOWN = 5  # names in a line; the others are counted


@dataclass(frozen=True, eq=False)
class ComparedTracker:
    """A tracker in a comparison: one run, or several (seeds, epochs) whose mean and deviation are reported.

    ``intervals`` are bootstrap confidence intervals (low, high) over sequences, by protocol and score.
    """

    label: str
    runs: tuple[ScoredRun, ...]
    intervals: abc.Mapping[str, abc.Mapping[str, tuple[float, float]]] = field(default_factory=dict)

    def values(self, protocol: str) -> dict[str, Cell]:
        """The set's scores by name; empty where the protocol gives none to one of the runs."""
        return _spread([run.values(protocol) for run in self.runs], self.intervals.get(protocol, {}))

    def part_values(self, protocol: str, names: abc.Set[str] | None) -> dict[str, Cell]:
        """The scores of the set of these sequences, without intervals; empty where a run has none."""
        return _spread([run.values(protocol, names) for run in self.runs])

    def sequence_values(self, protocol: str, number: int) -> dict[str, Cell]:
        """The scores of one sequence, by its place in the comparison; empty where a run has none."""
        return _spread([run.sequences[number].values(protocol) for run in self.runs])

    def curve(self, protocol: str, kind: str, names: abc.Set[str] | None = None) -> np.ndarray | None:
        """The curve of one of ``CURVES``, mean over runs: shares of frames at the protocol's thresholds.

        Of the whole set, or of the sequences with these ``names``. None where the protocol has no such curve, or gives
        none to one of the runs.
        """
        curves = [run.curves(protocol, names) for run in self.runs]
        rows = [None if curve is None else getattr(curve, kind) for curve in curves]
        return None if not rows or any(row is None for row in rows) else np.mean(rows, axis=0)


def _spread(
    runs: list[dict[str, float]], intervals: abc.Mapping[str, tuple[float, float]] = MappingProxyType({})
) -> dict[str, Cell]:
    """Mean and sample deviation over runs of scores by name; empty where a run has none."""
    rows = {name: [run[name] for run in runs] for name in (runs[0] if runs and all(runs) else ())}
    return {
        name: Cell(
            float(np.mean(row)),
            float(np.std(row, ddof=1)) if len(row) > 1 else None,
            *intervals.get(name, (None, None)),
        )
        for name, row in rows.items()
    }


@dataclass(frozen=True, eq=False)
class Comparison:
    """Trackers on one benchmark.

    ``protocols`` are the requested ones; none for a benchmark that a server scores. ``sequences`` are the annotated
    ones. ``attributes`` are sequence names by the attribute's short name, and ``attribute_names`` its words.
    ``warnings`` appear above every report. ``confidence`` has each tracker's by label; empty unless requested.
    """

    benchmark: str
    protocols: tuple[str, ...]
    sequences: tuple[Sequence, ...]
    entries: tuple[ComparedTracker, ...]
    attributes: abc.Mapping[str, frozenset[str]] = field(default_factory=dict)
    attribute_names: abc.Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    confidence: abc.Mapping[str, Confidence] = field(default_factory=dict)

    @property
    def runs(self) -> list[ScoredRun]:
        """The runs of all trackers."""
        return [run for entry in self.entries for run in entry.runs]

    @property
    def others(self) -> tuple[str, ...]:
        """Sequences of the set that a run lacks."""
        return tuple(dict.fromkeys(name for run in self.runs for name in run.others))

    @property
    def part(self) -> str:
        """``2 of 70 sequences`` where these are fewer than the benchmark has; empty for the whole."""
        count = max([len(self.sequences), *(len(run.sequences) for run in self.runs)])
        return part_in_words(self.benchmark, count, count + len(self.others))

    @property
    def title(self) -> str:
        """The benchmark, or which part of it, for the head of every table and picture."""
        return named_part(self.benchmark, self.part)

    def score_names(self, protocol: str) -> list[str]:
        """The scores that a protocol gives here, by the first sequence that it could score; else none."""
        scored = (sequence for run in self.runs for sequence in run.sequences)
        return next((list(sequence.values(protocol)) for sequence in scored if protocol in sequence.curves), [])

    def entry(self, label: str) -> ComparedTracker | None:
        """The tracker with that label, None where there is none."""
        return next((entry for entry in self.entries if entry.label == label), None)

    def extremes(
        self, entries: abc.Sequence[ComparedTracker], worst: int, best: int
    ) -> dict[str, list[tuple[float, Sequence]]]:
        """So many sequences under ``worst`` and ``best``, the extreme ones first, none twice: by the mean over these
        trackers of the first score by the first protocol. Without sequences for which a tracker has no score."""
        found, protocol = [], self.protocols[0]
        first = "".join(self.score_names(protocol)[:1])
        for number, sequence in enumerate(self.sequences):
            values = [entry.sequence_values(protocol, number).get(first, NO_SCORE).number for entry in entries]
            if None not in values:
                found.append((sum(values) / len(values), sequence))
        ranked = sorted(found, key=lambda each: (each[0], each[1].name))
        return {"worst": ranked[:worst], "best": ranked[worst:][: -best - 1 : -1]}

    def is_complete(self) -> bool:
        """Whether every result is there and every requested protocol could score it."""
        missing = any(sequence.missing for run in self.runs for sequence in run.sequences)
        return not missing and not any(run.errors(name) for run in self.runs for name in self.protocols)

    def with_confidence(self) -> "Comparison":
        """The same with the confidence of each tracker."""
        results = {entry.label: [run.results for run in entry.runs] for entry in self.entries}
        return replace(self, confidence={label: confidence_of(sets, self.sequences) for label, sets in results.items()})


def listed(names: abc.Iterable[str], shown: int = SHOWN) -> str:
    """The first ``shown`` names, and how many more there are."""
    names = list(names)
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest


def choose_protocols(
    benchmark: str, requested: abc.Sequence[str], sequences: abc.Sequence[Sequence]
) -> tuple[str, ...]:
    """The requested protocols, or the benchmark's own. ``all`` is the own one, then the others that the annotations
    allow (GOT-10k's needs cover labels).

    Raises ``ValueError`` for an unknown name and for a benchmark that a server scores.
    """
    entry = find_benchmark(benchmark)
    if entry.server:
        raise ValueError(
            f"{benchmark}: ground truth beyond the first frame is not public; {entry.server} scores it: make the "
            f"archive to send there with python tracking/submit.py"
        )
    for name in requested:
        if name not in PROTOCOLS and name != ALL_PROTOCOLS:
            raise ValueError(f"unknown protocol {name!r}; {suggest(name, [*PROTOCOLS, ALL_PROTOCOLS])}")
    if ALL_PROTOCOLS not in requested:
        return tuple(dict.fromkeys(requested)) or (entry.protocol,)
    covered = any(sequence.cover is not None for sequence in sequences)
    return tuple(dict.fromkeys([entry.protocol, *(name for name in PROTOCOLS if covered or name != "got10k")]))


def compare(
    benchmark: str,
    sequences: abc.Sequence[Sequence],
    groups: abc.Sequence[tuple[str, abc.Sequence[ResultSet]]],
    protocols: abc.Sequence[str],
    attributes: Attributes = NO_ATTRIBUTES,
    warnings: abc.Sequence[str] = (),
    failures: abc.Mapping[str, abc.Mapping[str, str]] = MappingProxyType({}),
    left_out: abc.Sequence[str] = (),
) -> Comparison:
    """Score result sets, ours and those of other tools, by ``protocols``, with one reading of the boxes.

    ``groups`` are the trackers: a label and its result sets. Missing and damaged results become errors, see
    ``score_set``. ``failures`` are by label the reasons why sequences could not be read or tracked, by name; these are
    errors of every protocol. ``left_out`` are sequences of the set that were not requested. Sequences with the first
    frame annotated only, and all of a benchmark that a server scores, get no score.
    """
    server = find_benchmark(benchmark).server
    scored = tuple(each for each in sequences if not (server or len(each.boxes) == 1 < len(each)))
    names = [sequence.name for sequence in sequences]
    unscored = [name for name in names if name not in {sequence.name for sequence in scored}]
    entries, swept = [], []
    for label, sets in groups:
        failed, runs = failures.get(label, {}), []
        for results in sets:
            run = score_set(results, benchmark, scored, protocols, failed, unscored)
            kept = [] if results.manifest is None else results.names()  # a folder of others may hold texts of anything
            others = (*left_out, *(name for name in kept if name not in {*names, *failed, *left_out}))
            runs.append(replace(run, others=others))
            if results.manifest and (warning := sweep_warning(results.manifest)):
                swept.append(f"{benchmark}, {label}: {warning}")
        entries.append(ComparedTracker(label, tuple(runs)))
    found = Comparison(benchmark, tuple(protocols), scored, tuple(entries), attributes.sequences, attributes.names)
    above = []
    if found.part:
        without = f", without {listed(found.others)}" if found.others else ""
        above.append(f"{benchmark}: PART, {found.part}: not the whole set{without}")
    above += warnings
    if unscored and not server:
        count = f"{len(unscored)} of {len(sequences)} sequences"
        above.append(f"{benchmark}: {count} have their first frame annotated only and get no score")
    return replace(found, warnings=(*above, *swept, *attributes.remarks))
