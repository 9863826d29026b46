"""Scores of one tracker on one benchmark, by every protocol in one pass."""

import re
from collections import abc
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from lib.data.decoding.images import ImageError, open_image
from lib.data.types import Sequence
from lib.evaluation.benchmarks import find_benchmark
from lib.evaluation.metrics.protocols import PROTOCOLS, Annotation, Curves, MetricError

NO_RESULT = "row(s) without a result taken as boxes of zeros"

Boxes = abc.Callable[[Sequence], np.ndarray]


class MissingResultError(ValueError):
    """A sequence has no result. TrackingNet's protocol scores it as boxes of zeros, no other protocol scores it."""


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


@dataclass(frozen=True, eq=False)
class SetScores:
    """A tracker's results on a benchmark.

    ``overall`` are the set's curves by protocol, None where the protocol could not score every sequence: a mean over
    the rest would be another set's score.
    """

    label: str
    benchmark: str
    sequences: tuple[SequenceScores, ...]
    overall: abc.Mapping[str, Curves | None]

    def values(self, protocol: str) -> dict[str, float]:
        """The set's scores by name, in fractions; empty where the protocol gives none."""
        return _values(protocol, self.overall[protocol])

    def part(self, protocol: str, names: abc.Container[str]) -> Curves | None:
        """The curves of the set of these sequences alone; None where there are none or one has an error."""
        return _joined([entry for entry in self.sequences if entry.name in names], protocol)

    def part_values(self, protocol: str, names: abc.Container[str]) -> dict[str, float]:
        """The scores of the set of these sequences alone; empty where there are none or one has an error."""
        return _values(protocol, self.part(protocol, names))

    def errors(self, protocol: str) -> dict[str, str]:
        """The reasons by sequence why it has no score by the protocol, or no boxes where it needs no score."""
        return _errors(self.sequences, protocol)

    def notes(self, protocol: str) -> dict[str, tuple[tuple[int, str], ...]]:
        """The sequences whose rows the protocol's own rule changed: how many, and how."""
        scored = ((entry.name, entry.curves[protocol].notes) for entry in self.sequences if protocol in entry.curves)
        return {name: notes for name, notes in scored if notes}


def has_first_box_only(sequence: Sequence) -> bool:
    """Whether only the first frame is annotated: such a sequence can be tracked, but not scored."""
    return len(sequence.boxes) == 1 < len(sequence)


def annotation_of(sequence: Sequence, benchmark: str) -> Annotation:
    """The ground truth for the protocols. Where the sequence has covers, it includes the image size for GOT-10k's
    protocol, from the dataset's ``resolution: (W, H)`` or from the first image."""
    size = None
    if sequence.cover is not None:
        stated = re.fullmatch(r"\((\d+), *(\d+)\)", sequence.meta.get("resolution", ""))
        size = (int(stated[1]), int(stated[2])) if stated else _size_of_image(sequence)
    return Annotation(sequence.name, benchmark, sequence.boxes, sequence.absent, sequence.cover, size)


def score_set(
    label: str,
    benchmark: str,
    sequences: abc.Iterable[Sequence],
    find_boxes: Boxes,
    protocols: abc.Sequence[str] = tuple(PROTOCOLS),
    failed: abc.Mapping[str, str] = MappingProxyType({}),
    unscored: abc.Iterable[str] = (),
) -> SetScores:
    """Score one tracker by each of the ``protocols``.

    ``find_boxes(sequence)`` returns its boxes, float64 ``[M, 4]`` xywh; its ``ValueError`` becomes that sequence's
    error under every protocol, except for ``MissingResultError``. ``failed`` are the reasons why sequences of the set
    have no boxes, by name, with or without an annotation. ``unscored`` are names of sequences that get no score.

    By the benchmark's own protocol a frame with an annotation of NaN is an absent frame. Any other protocol treats it
    as its toolkit does, which may be a refusal.
    """
    failures = {name: SequenceScores(name, {}, dict.fromkeys(protocols, why), why) for name, why in failed.items()}
    scored = {
        each.name: failures.get(each.name) or _score_sequence(each, benchmark, find_boxes, protocols)
        for each in sequences
    }
    sequences = tuple((scored | {name: SequenceScores(name, {}) for name in unscored} | failures).values())
    return SetScores(label, benchmark, sequences, {name: _joined(sequences, name) for name in protocols})


def _values(protocol: str, curves: Curves | None) -> dict[str, float]:
    return {} if curves is None else {name: float(value) for name, value in PROTOCOLS[protocol].values(curves).items()}


def _joined(sequences: abc.Sequence[SequenceScores], protocol: str) -> Curves | None:
    curves = [entry.curves[protocol] for entry in sequences if protocol in entry.curves]
    return PROTOCOLS[protocol].join(curves) if curves and not _errors(sequences, protocol) else None


def _errors(sequences: abc.Sequence[SequenceScores], protocol: str) -> dict[str, str]:
    reasons = {
        entry.name: entry.errors.get(protocol, "" if protocol in entry.curves else entry.missing) for entry in sequences
    }
    return {name: reason for name, reason in reasons.items() if reason}


def _score_sequence(
    sequence: Sequence, benchmark: str, find_boxes: Boxes, protocols: abc.Sequence[str]
) -> SequenceScores:
    annotation, own = annotation_of(sequence, benchmark), find_benchmark(benchmark).protocol
    curves, errors = {}, {}
    try:
        boxes, missing = find_boxes(sequence), ""
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


def _size_of_image(sequence: Sequence) -> tuple[int, int] | None:
    try:
        height, width = open_image(sequence.frames[0]).shape
    except ImageError:
        return None
    return width, height
