"""Scores of one tracker on one benchmark, by every protocol in one pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from lib.data.decoding.images import ImageError, open_image
from lib.data.types import Sequence
from lib.evaluation.benchmarks import find_benchmark
from lib.evaluation.metrics.protocols import PROTOCOLS, Annotation, Curves, MetricError

Boxes = Callable[[Annotation], np.ndarray]


class MissingResultError(ValueError):
    """There is no result of a sequence. TrackingNet's protocol scores that as boxes of zeros, no other scores it."""


@dataclass(frozen=True, eq=False)
class SequenceScores:
    """One sequence: by protocol its ``curves``, or the reason why there are none (``errors``).

    ``missing`` is the reason why there are no boxes, empty where they were read. A sequence that is not scored at all
    has neither curves nor errors.
    """

    name: str
    curves: Mapping[str, Curves]
    errors: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""

    def values(self, protocol: str) -> dict[str, float]:
        """The scores by name, in fractions; empty where there is an error."""
        return PROTOCOLS[protocol].values(self.curves[protocol]) if protocol in self.curves else {}


@dataclass(frozen=True, eq=False)
class SetScores:
    """A tracker's results on a benchmark.

    ``overall`` are the set's curves by protocol, None where the protocol could not score every sequence: a mean over
    the rest would be another set's score.
    """

    label: str
    benchmark: str
    sequences: tuple[SequenceScores, ...]
    overall: Mapping[str, Curves | None]

    def values(self, protocol: str) -> dict[str, float]:
        """The set's scores by name, in fractions; empty where the protocol gives none."""
        curves = self.overall[protocol]
        return {} if curves is None else PROTOCOLS[protocol].values(curves)

    def part(self, protocol: str, names: Container[str]) -> Curves | None:
        """The curves of the set of these sequences alone; None where there are none or one has an error."""
        return _joined([entry for entry in self.sequences if entry.name in names], protocol)

    def errors(self, protocol: str) -> dict[str, str]:
        """The reasons by sequence why it has no score by the protocol, or no boxes where it needs no score."""
        return _errors(self.sequences, protocol)

    def notes(self, protocol: str) -> dict[str, tuple[str, ...]]:
        """The sequences whose rows the protocol's own rule changed, and how."""
        scored = ((entry.name, entry.curves[protocol].notes) for entry in self.sequences if protocol in entry.curves)
        return {name: notes for name, notes in scored if notes}


def has_first_box_only(sequence: Sequence) -> bool:
    """Whether nothing but the first frame is annotated: such a sequence can be tracked, but not scored."""
    return len(sequence.boxes) == 1 < len(sequence)


def annotation_of(sequence: Sequence, benchmark: str) -> Annotation:
    """What the protocols may know of a sequence; the image's size, which GOT-10k's alone asks for, where it has covers.

    It comes from the dataset's own words (``resolution: (W, H)``) or from the first image.
    """
    size = None
    if sequence.cover is not None:
        stated = re.fullmatch(r"\((\d+), *(\d+)\)", sequence.meta.get("resolution", ""))
        size = (int(stated[1]), int(stated[2])) if stated else _size_of_image(sequence)
    return Annotation(sequence.name, benchmark, sequence.boxes, sequence.absent, sequence.cover, size)


def score_set(
    label: str,
    benchmark: str,
    annotations: Iterable[Annotation],
    find_boxes: Boxes,
    protocols: Many[str] = tuple(PROTOCOLS),
    unreadable: Mapping[str, str] = MappingProxyType({}),
    unscored: Iterable[Annotation] = (),
) -> SetScores:
    """Score one tracker. ``find_boxes(annotation)`` gives its boxes, float64 ``[M, 4]`` xywh; ``MissingResultError``
    and other ``ValueError`` become that sequence's error under every protocol (see ``MissingResultError``), and so do
    the reasons why the ``unreadable`` sequences of the set, by name, have no annotation. Of ``unscored`` ones the boxes
    are read and not scored.

    By the benchmark's own protocol a frame whose annotation is no number is an absent frame. By another one that is
    asked for it is whatever that one's toolkit makes of it, which may be a refusal."""
    own = find_benchmark(benchmark).protocol
    sequences = (
        *(_score_sequence(annotation, find_boxes, protocols, own) for annotation in annotations),
        *(_score_sequence(annotation, find_boxes, (), own) for annotation in unscored),
        *(SequenceScores(name, {}, dict.fromkeys(protocols, why), why) for name, why in unreadable.items()),
    )
    return SetScores(label, benchmark, sequences, {name: _joined(sequences, name) for name in protocols})


def _joined(sequences: Many[SequenceScores], protocol: str) -> Curves | None:
    curves = [entry.curves[protocol] for entry in sequences if protocol in entry.curves]
    return PROTOCOLS[protocol].join(curves) if curves and not _errors(sequences, protocol) else None


def _errors(sequences: Many[SequenceScores], protocol: str) -> dict[str, str]:
    reasons = {
        entry.name: entry.errors.get(protocol, "" if protocol in entry.curves else entry.missing) for entry in sequences
    }
    return {name: reason for name, reason in reasons.items() if reason}


def _score_sequence(annotation: Annotation, find_boxes: Boxes, protocols: Many[str], own: str) -> SequenceScores:
    curves, errors = {}, {}
    try:
        boxes, absent = find_boxes(annotation), ""
    except MissingResultError as error:
        boxes, absent = np.zeros_like(annotation.boxes), str(error)
    except ValueError as error:
        return SequenceScores(annotation.name, {}, dict.fromkeys(protocols, str(error)), str(error))
    for name in protocols:
        if absent and name != "trackingnet":
            errors[name] = absent
            continue
        try:
            scored = PROTOCOLS[name].score(annotation._replace(nan_is_absent=name == own), boxes)
            curves[name] = scored._replace(notes=("no result, taken as boxes of zeros",)) if absent else scored
        except MetricError as error:
            errors[name] = str(error)
    return SequenceScores(annotation.name, curves, errors, absent)


def _size_of_image(sequence: Sequence) -> tuple[int, int] | None:
    try:
        height, width = open_image(sequence.frames[0]).shape
    except ImageError:
        return None
    return width, height
