"""Scores of finished results, as a table to read and as plain types to keep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lib.data.images import read_image
from lib.data.types import Sequence
from lib.evaluation.benchmarks import find_benchmark
from lib.evaluation.metrics import Got10kScores, got10k_overlaps, got10k_scores
from lib.evaluation.results import ResultsFolder

COMPUTED = ("got10k",)  # protocols; results of the others are kept on disk until theirs can be computed


class SequenceScore(NamedTuple):
    """One sequence's scores; None without a frame that counts, and with an ``error`` if it could not be scored."""

    name: str
    scores: Got10kScores | None
    error: str = ""


@dataclass(frozen=True, eq=False)
class BenchmarkScore:
    """The scores of one results folder: ``overall`` over the sequences without an error, and each sequence's own.

    ``overall`` is None where ``server`` scores, where ``protocol`` cannot be computed yet, and where no frame could be
    scored.
    """

    benchmark: str
    protocol: str
    server: str
    folder: Path
    manifest: dict[str, Any]
    overall: Got10kScores | None
    sequences: tuple[SequenceScore, ...]

    @property
    def errors(self) -> tuple[SequenceScore, ...]:
        """The sequences that could not be scored; a program that has any exits non-zero."""
        return tuple(sequence for sequence in self.sequences if sequence.error)

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return {
            "benchmark": self.benchmark,
            "protocol": self.protocol,
            "scored_by": self.server or ("this program" if self.protocol in COMPUTED else "nobody yet"),
            "results": str(self.folder),
            "manifest": self.manifest,
            "overall": self.overall.as_dict() if self.overall else None,
            "sequences": {
                name: {"scores": scores.as_dict() if scores else None, "error": error}
                for name, scores, error in self.sequences
            },
        }


def score_benchmark(benchmark: str, sequences: list[Sequence], folder: ResultsFolder) -> BenchmarkScore:
    """Score the results of ``sequences`` in ``folder`` by the benchmark's protocol.

    A sequence without a complete result, or that the protocol refuses, becomes an error of its own and is left out of
    the overall score. Where a server holds the ground truth, or the protocol cannot be computed yet, results are only
    checked to be complete.
    """
    entry = find_benchmark(benchmark)
    computed = not entry.server and entry.protocol in COMPUTED
    scored, pooled = [], []
    for sequence in sequences:
        try:
            predicted = folder.boxes(sequence)
            overlaps = _overlaps(sequence, predicted) if computed else np.empty(0)
        except ValueError as error:
            scored.append(SequenceScore(sequence.name, None, str(error)))
        else:
            scored.append(SequenceScore(sequence.name, got10k_scores(overlaps)))
            pooled.append(overlaps)
    return BenchmarkScore(
        benchmark=benchmark,
        protocol=entry.protocol,
        server=entry.server,
        folder=folder.path,
        manifest=folder.manifest(),
        overall=got10k_scores(np.concatenate(pooled)) if pooled else None,
        sequences=tuple(scored),
    )


def table(scores: list[BenchmarkScore]) -> str:
    """A line for each results folder, its protocol beside its numbers (fractions); below, what else must be known."""
    width = max([len("results"), *(len(score.folder.name) for score in scores)])
    protocol_width = max([len("protocol") + 1, *(len(score.protocol) for score in scores)])
    layout = f"{{:<24}} {{:<{width}}} {{:<{protocol_width}}} {{}}  {{}}"
    lines = [layout.format("benchmark", "results", "protocol", "    AO  SR0.5 SR0.75", "sequences")]
    for score in scores:
        numbers = (score.overall.ao, score.overall.sr50, score.overall.sr75) if score.overall else ()
        columns = " ".join(f"{number:6.3f}" for number in numbers) or "     -      -      -"
        complete = f"{len(score.sequences) - len(score.errors)}/{len(score.sequences)}"
        lines.append(layout.format(score.benchmark, score.folder.name, score.protocol, columns, complete))
    return "\n".join(lines + [note for score in scores for note in _notes(score)])


def _notes(score: BenchmarkScore) -> list[str]:
    where = f"{score.benchmark} {score.folder.name}"
    notes = []
    if score.server:
        notes.append(f"{where}: ground truth beyond the first frame is not public; {score.server} scores these results")
    elif score.protocol not in COMPUTED:
        whole = "" if score.errors else "the results are complete and on disk, but "
        notes.append(f"{where}: {whole}scores by the {score.protocol} protocol are not computed yet")
    if score.manifest["overrides"]:
        changed = ", ".join(f"{key}={value}" for key, value in score.manifest["overrides"].items())
        notes.append(f"{where}: settings of this benchmark: {changed}")
    if score.errors:
        notes.append(f"{where}: INCOMPLETE, {len(score.errors)} of {len(score.sequences)} sequences are left out")
    return notes + [f"{where}: FAILED {sequence.name}: {sequence.error}" for sequence in score.errors]


def _overlaps(sequence: Sequence, predicted: np.ndarray) -> np.ndarray:
    height, width = read_image(sequence.frames[0]).shape[:2]
    return got10k_overlaps(sequence.boxes, predicted, sequence.cover, width, height)
