"""The body of `tracking/test.py`: trackers that are run on a benchmark, scored and reported. Without torch, if all of
them are exported networks."""

import os
from collections import abc
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from lib.config.paths import Paths
from lib.config.schema import suggest
from lib.evaluation.benchmarks import Readable, find_benchmark, read_benchmark
from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.reports.comparison import Comparison, compare
from lib.evaluation.reports.layout import score_tables
from lib.evaluation.reports.plain import plain_score
from lib.evaluation.reports.tables import render
from lib.evaluation.results.folder import ResultsFolder
from lib.evaluation.results.lookup import open_result_set
from lib.evaluation.running.runner import RunReport, SequenceEngine, Trial, run_trials
from lib.runtime.escapes import printable
from lib.runtime.program import Outcome, RequestError
from lib.runtime.stop import terminated_like_interrupted


class Candidate(NamedTuple):
    """A tracker to test.

    ``source`` is the file or folder with its weights, None for fresh ones, ``folder`` that of its results.
    ``make_engine(most)`` builds it for at most that many sequences at once. ``setting`` is the ``key=value`` that a
    sweep tries, ``title`` its name in reports, by default the setting and the folder's name.
    """

    source: Path | None
    folder: ResultsFolder
    make_engine: Callable[[int], SequenceEngine]
    setting: str = ""
    title: str = ""

    @property
    def label(self) -> str:
        """The name of its row in reports."""
        return self.title or f"{self.setting} {self.folder.path.name}".lstrip()


@dataclass(frozen=True)
class Evaluation(Outcome):
    """A finished test, good if every sequence has a result and a score. ``comparison`` holds the scores, an entry for
    each finished candidate."""

    comparison: Comparison = field(kw_only=True)


def run_test(
    paths: Paths,
    dataset: str,
    config: str | None = None,
    name: str | None = None,
    checkpoint: abc.Sequence[Path] = (),
    network: abc.Sequence[Path] = (),
    sequence: abc.Sequence[str] = (),
    sweep: str | None = None,
    on_test_set: bool = False,
    processes: int = 1,
    batch: int | None = None,
    compile: bool = False,
    capture: bool = False,
    recover: bool = False,
    device: str = "auto",
    legacy_int: bool = False,
    overrides: abc.Sequence[str] = (),
) -> Evaluation:
    """Test the exported networks in the folders ``network``, else the checkpoints of an experiment, on the benchmark
    ``dataset``, or on the sequences of these names alone.

    ``name`` replaces the experiment's in the output folder. Each value of ``sweep`` is tested with each checkpoint, on
    a test set only if ``on_test_set``; a sweep waits for sequences that other commands are tracking. ``recover``
    searches for lost targets over the whole image. ``batch`` is the most sequences in a batch, None what suits the
    network and its device. ``processes`` share the sequences. With ``legacy_int`` the boxes are written as integers
    too, beside the floats. Raises ``RequestError`` for arguments that do not go together, and ``ValueError`` for what
    cannot be read or does not fit.
    """
    if not (config or checkpoint or network):
        raise RequestError("name --config, --checkpoint, both, or --network")
    if network and (config or checkpoint or sweep or overrides or compile or capture):
        raise RequestError(
            "--network has its settings with it; leave out --config, --checkpoint, --sweep, --compile, --capture and "
            "overrides"
        )
    if on_test_set and not sweep:
        raise RequestError("--on-test-set goes with --sweep")
    if processes > 1 and "WORLD_SIZE" in os.environ:
        raise RequestError("--processes starts the processes itself; leave it out under torchrun")
    tried = None
    with terminated_like_interrupted():
        if network:
            from lib.programs.exported_candidates import exported_candidates

            readable = read_chosen(paths, dataset, sequence)
            candidates = exported_candidates(paths, dataset, network, name, device, batch, recover)
        else:
            # These import torch, which takes seconds.
            from lib.programs.sweep import check_sweep, parse_sweep, report_sweep
            from lib.programs.trained_candidates import trained_candidates

            tried = parse_sweep(sweep) if sweep else None
            if tried:
                check_sweep(tried, dataset, overrides, on_test_set)
            overrides = [*overrides, *(["test.tracker.recover=true"] if recover else [])]
            readable = read_chosen(paths, dataset, sequence)
            candidates = trained_candidates(
                paths, dataset, config, checkpoint, overrides, name, device, batch, compile, capture, tried
            )
        wait = tried is not None
        report, comparison = track_and_score(dataset, readable, candidates, processes, wait)
        if legacy_int:
            _write_legacy_int(readable, candidates, report)
        lines = _describe(candidates, report, comparison)
        if tried:
            lines += report_sweep(tried, comparison, candidates, paths)
        complete = comparison.is_complete() and not any(summary.failed for summary in report.summaries)
        return Evaluation("\n".join(lines), complete, comparison=comparison)


def read_chosen(paths: Paths, benchmark: str, names: abc.Sequence[str]) -> Readable:
    """The sequences of a benchmark, those of these ``names`` alone if there are any; ``ValueError`` for a name that is
    not there."""
    root = paths.dataset_root(find_benchmark(benchmark).dataset)
    readable = read_benchmark(benchmark, root, paths.cache)
    if not names:
        return readable
    known = {sequence.name: sequence for sequence in readable.sequences}
    every = [*known, *readable.unreadable]
    for name in names:
        if name not in every:
            raise ValueError(f"--sequence: {benchmark} has no sequence {name}; {suggest(name, every)}")
    return Readable(
        [known[name] for name in dict.fromkeys(names) if name in known],
        {name: reason for name, reason in readable.unreadable.items() if name in names},
        [name for name in every if name not in names],
    )


def track_and_score(
    benchmark: str,
    readable: Readable,
    candidates: abc.Sequence[Candidate],
    processes: int = 1,
    wait: bool = True,
) -> tuple[RunReport, Comparison]:
    """Track what is not finished of each candidate, score it all, and keep each score in its folder as ``score.json``.

    A score that lacks other sequences of the set (``ScoredRun.others``) is not kept. For ``processes`` and ``wait`` see
    ``run_trials``. Without ``wait`` other commands may still track sequences of a candidate: then it has no entry in
    the comparison, and the last of these commands scores it.
    """
    trials = [Trial(readable.sequences, each.make_engine, each.folder, readable.unreadable) for each in candidates]
    report = run_trials(trials, processes, wait)
    finished = [
        (candidate, {status.name: status.reason for status in summary.failed})
        for candidate, summary in zip(candidates, report.summaries, strict=True)
        if not summary.elsewhere
    ]
    comparison = compare(
        benchmark,
        readable.sequences,
        [(each.label, [open_result_set(each.folder.path, benchmark)]) for each, _ in finished],
        tuple(PROTOCOLS),
        failures={candidate.label: failed for candidate, failed in finished},
        left_out=readable.left_out,
    )
    own = find_benchmark(benchmark)
    comparison = replace(comparison, protocols=() if own.server else (own.protocol,))
    for (candidate, _), run in zip(finished, comparison.runs, strict=True):
        if not run.others:
            candidate.folder.write_json("score.json", plain_score(comparison, run))
    return report, comparison


def _write_legacy_int(readable: Readable, candidates: abc.Sequence[Candidate], report: RunReport) -> None:
    for candidate, summary in zip(candidates, report.summaries, strict=True):
        finished = {status.name for status in summary.sequences if status.status in ("tracked", "kept")}
        for sequence in readable.sequences:
            if sequence.name in finished:
                candidate.folder.write_legacy_int(sequence)


def _describe(candidates: abc.Sequence[Candidate], report: RunReport, comparison: Comparison) -> list[str]:
    """The lines to print: the run of each candidate, then the table of scores."""
    lines = []
    for candidate, summary in zip(candidates, report.summaries, strict=True):
        folder = printable(f"results: {candidate.folder.path}")
        lines += [printable(str(candidate.source)), summary.text(), folder]
        if summary.elsewhere:
            lines.append("no score yet: the command that finishes the last sequence computes it")
    if text := report.text():
        lines.append(text)
    if comparison.entries:
        [table] = score_tables([comparison], counts=True)
        lines.append(render(table, "text", digits=2).rstrip("\n"))
        lines += [printable(f"{run.results.source}: score.json is left alone") for run in comparison.runs if run.others]
    return lines
