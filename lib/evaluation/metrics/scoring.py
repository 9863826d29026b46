"""Scores of one tracker on one benchmark, by every protocol in one pass."""

import re
from collections import abc
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from lib.data.decoding.images import ImageError, open_image
from lib.data.types import Sequence
from lib.evaluation.benchmarks import find_benchmark
from lib.evaluation.metrics.protocols import PROTOCOLS, Annotation, Curves, MetricError
from lib.evaluation.results.result_set import MissingResultError, ResultSet

NO_RESULT = "row(s) without a result taken as boxes of zeros"


@dataclass(frozen=True, eq=False)
class SequenceScores:
    """One sequence: by protocol its ``curves``, or the reason why there are none (``errors``).

    ``missing`` is the reason why there are no boxes, empty where they were read. A sequence that is not scored at all
    has neither curves nor errors.
    """

    name: str
    curves: abc.Mapping[str, Curves]
    errors: abc.Mapping[str, str] = field(default_factory=dict)
    missing: str = ""

    def values(self, protocol: str) -> dict[str, float]:
        """The scores by name, in fractions; empty where there is an error."""
        return _values(protocol, self.curves.get(protocol))

    def error(self, protocol: str) -> str:
        """The reason why it has no score by the protocol, or no boxes where it needs no score; else empty."""
        return self.errors.get(protocol, "" if protocol in self.curves else self.missing)


@dataclass(frozen=True, eq=False)
class ScoredRun:
    """A result set with the scores of its ``sequences``.

    ``seconds`` is the mean time of a frame, None where no times are kept. ``others`` are sequences of the benchmark
    that these scores lack: they were not requested, or have a result and no data any more.
    """

    results: ResultSet
    sequences: tuple[SequenceScores, ...]
    seconds: float | None = None
    others: tuple[str, ...] = ()

    def curves(
        self, protocol: str, names: abc.Container[str] | None = None, draws: np.ndarray | None = None
    ) -> Curves | None:
        """The curves of the set, or of the sequences with these ``names`` alone; of sets in which each sequence is as
        often as ``draws`` ``[..., N]`` have it.

        None where there are none, or the protocol could not score every sequence: a mean over the rest would be another
        set's score.
        """
        chosen = [each for each in self.sequences if names is None or each.name in names]
        curves = [each.curves[protocol] for each in chosen if protocol in each.curves]
        if not curves or any(each.error(protocol) for each in chosen):
            return None
        return PROTOCOLS[protocol].join(curves, draws)

    def values(self, protocol: str, names: abc.Container[str] | None = None) -> dict[str, float]:
        """The scores by name, in fractions, of the same set; empty where it has no curves."""
        return _values(protocol, self.curves(protocol, names))

    def errors(self, protocol: str) -> dict[str, str]:
        """The sequences with an ``error`` by the protocol, and the reasons."""
        return {each.name: reason for each in self.sequences if (reason := each.error(protocol))}

    def notes(self, protocol: str) -> dict[str, tuple[tuple[int, str], ...]]:
        """The sequences whose rows the protocol's own rule changed: how many, and how."""
        scored = {each.name: each.curves[protocol].notes for each in self.sequences if protocol in each.curves}
        return {name: notes for name, notes in scored.items() if notes}


def annotation_of(sequence: Sequence, benchmark: str) -> Annotation:
    """The ground truth for the protocols. Where the sequence has covers, it includes the image size for GOT-10k's
    protocol, from the dataset's ``resolution: (W, H)`` or from the first image."""
    size = None
    if sequence.cover is not None:
        stated = re.fullmatch(r"\((\d+), *(\d+)\)", sequence.meta.get("resolution", ""))
        with suppress(ImageError):
            size = (int(stated[1]), int(stated[2])) if stated else open_image(sequence.frames[0]).shape[::-1]
    return Annotation(benchmark, sequence.boxes, sequence.absent, sequence.cover, size)


def score_set(
    results: ResultSet,
    benchmark: str,
    sequences: abc.Iterable[Sequence],
    protocols: abc.Sequence[str] = tuple(PROTOCOLS),
    failed: abc.Mapping[str, str] = MappingProxyType({}),
    unscored: abc.Iterable[str] = (),
) -> ScoredRun:
    """Score one tracker's results by each of the ``protocols``.

    A ``ValueError`` of ``results.boxes`` becomes that sequence's error under every protocol; TrackingNet's protocol
    scores a sequence without a result (``MissingResultError``) as boxes of zeros. ``failed`` are the reasons why
    sequences of the set have no boxes, by name, with or without an annotation. ``unscored`` are names of sequences that
    get no score.

    By the benchmark's own protocol a frame with an annotation of NaN is an absent frame. Any other protocol treats it
    as its toolkit does, which may be a refusal.
    """
    failures = {name: SequenceScores(name, {}, dict.fromkeys(protocols, why), why) for name, why in failed.items()}
    scored = {
        each.name: failures.get(each.name) or _score_sequence(each, benchmark, results, protocols) for each in sequences
    }
    scored |= {name: SequenceScores(name, {}) for name in unscored} | failures
    return ScoredRun(results, tuple(scored.values()), results.mean_seconds())


def _values(protocol: str, curves: Curves | None) -> dict[str, float]:
    return {} if curves is None else {name: float(value) for name, value in PROTOCOLS[protocol].values(curves).items()}


def _score_sequence(
    sequence: Sequence, benchmark: str, results: ResultSet, protocols: abc.Sequence[str]
) -> SequenceScores:
    annotation, own = annotation_of(sequence, benchmark), find_benchmark(benchmark).protocol
    curves, errors = {}, {}
    try:
        boxes, missing = results.boxes(sequence), ""
    except MissingResultError as error:
        boxes, missing = np.zeros_like(sequence.boxes), str(error)
    except ValueError as error:
        return SequenceScores(sequence.name, {}, dict.fromkeys(protocols, str(error)), str(error))
    for name in protocols:
        if missing and name != "trackingnet":
            errors[name] = missing
            continue
        try:
            scored = PROTOCOLS[name].score(annotation._replace(nan_is_absent=name == own), boxes)
            curves[name] = scored._replace(notes=((len(boxes), NO_RESULT),)) if missing else scored
        except MetricError as error:
            errors[name] = str(error)
    return SequenceScores(sequence.name, curves, errors, missing)
