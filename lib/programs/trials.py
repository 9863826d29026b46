"""Trackers tried on a benchmark, whatever they are made from: tracked, scored, and described. Without torch."""

import os
from collections import abc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lib.config.paths import Paths
from lib.config.suggestion import suggest
from lib.evaluation.benchmarks import Readable, find_benchmark, read_what_is_readable
from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.reports.comparison import Comparison, compare
from lib.evaluation.reports.layout import score_tables
from lib.evaluation.reports.plain import plain_score
from lib.evaluation.reports.tables import render
from lib.evaluation.results.raw_results import open_result_set
from lib.evaluation.running.runner import Report, Trial, is_part_of_run, run_trials
from lib.inference.settings import TrackerConfig
from lib.runtime.escapes import printable
from lib.runtime.logs import set_up_logging
from lib.runtime.stop import terminated_like_interrupted


@dataclass(frozen=True)
class Evaluation:
    """The ``message`` to print, the scores of the finished trials, an entry each, and whether everything is ``good``:
    has a result and a score."""

    message: str
    comparison: Comparison
    good: bool

    def text(self) -> str:
        """The message."""
        return self.message


@contextmanager
def tracking_process() -> Iterator[None]:
    """Inside the block SIGTERM ends the process like Ctrl-C. A process that another one has started to track logs
    warnings only, since the other one reports."""
    if is_part_of_run():
        set_up_logging(rank=int(os.environ.get("RANK", "0")), quiet=True)
    with terminated_like_interrupted():
        yield


def evaluate(
    benchmark: str,
    trials: abc.Sequence[Trial],
    sources: abc.Sequence[Path],
    processes: int = 1,
    command: abc.Sequence[str] = (),
    wait: bool = False,
    legacy_int: bool = False,
) -> Evaluation | None:
    """Track what is not finished of each trial, whose tracker is made from the file or folder in ``sources``, and score
    it. With ``legacy_int`` the finished sequences are written as integers too, beside the floats.

    For ``processes``, ``command`` and ``wait`` see ``run_trials``; None where that gives None. Sequences that other
    commands are tracking are left to them, and the score with them.
    """
    tracked = track_and_score(benchmark, trials, processes, command, wait)
    if tracked is None:
        return None
    report, comparison = tracked
    texts = []
    for trial, source, summary in zip(trials, sources, report.summaries, strict=True):
        if legacy_int:
            finished = {status.name for status in summary.sequences if status.status in ("tracked", "kept")}
            for sequence in trial.sequences:
                if sequence.name in finished:
                    trial.folder.write_legacy_int(sequence)
        texts += [printable(str(source)), summary.text(), printable(f"results: {trial.folder.path}")]
        if summary.elsewhere:
            texts.append("no score yet: the command that finishes the last sequence computes it")
    if text := report.text():
        texts.append(text)
    if comparison.entries:
        [table] = score_tables([comparison], counts=True)
        texts.append(render(table, "text", digits=2).rstrip("\n"))
        texts += [printable(f"{run.results.source}: score.json is left alone") for run in comparison.runs if run.others]
    complete = comparison.is_complete() and not any(summary.failed for summary in report.summaries)
    return Evaluation("\n".join(texts), comparison, complete)


def track_and_score(
    benchmark: str, trials: abc.Sequence[Trial], processes: int = 1, command: abc.Sequence[str] = (), wait: bool = True
) -> tuple[Report, Comparison] | None:
    """Track what is not finished of each trial, score it all, and keep each score in its folder as ``score.json``.

    A score that is without other sequences of the set (``ScoredRun.others``) is not kept.

    For ``processes``, ``command`` and ``wait`` see ``run_trials``; None where that gives None. The comparison has an
    entry for each trial but those of which other commands still have sequences, which can only be without ``wait``;
    the last of them scores.
    """
    report = run_trials(trials, processes, command, wait)
    if report is None:
        return None
    finished = [
        (trial.folder, {status.name: status.reason for status in summary.failed})
        for trial, summary in zip(trials, report.summaries, strict=True)
        if not summary.elsewhere
    ]
    comparison = compare(
        benchmark,
        trials[0].sequences,
        [(folder.path.name, [open_result_set(folder.path, benchmark)]) for folder, _ in finished],
        tuple(PROTOCOLS),
        failures={folder.path.name: failed for folder, failed in finished},
        left_out=trials[0].left_out,
    )
    own = find_benchmark(benchmark)
    comparison = replace(comparison, protocols=() if own.server else (own.protocol,))
    for (folder, _), run in zip(finished, comparison.runs, strict=True):
        if not run.others:
            folder.write_json("score.json", plain_score(comparison, run))
    return report, comparison


def recovery_in_words(tracker: TrackerConfig) -> dict[str, bool]:
    """What reports state of a tracker that searches for lost targets, as a setting by its key; nothing of others."""
    return {"test.tracker.recover": True} if tracker.recover else {}


def read_chosen(paths: Paths, benchmark: str, names: abc.Sequence[str]) -> Readable:
    """The sequences of a benchmark, those of these ``names`` alone if there are any; ``ValueError`` for a name that is
    not there."""
    root = paths.dataset_root(find_benchmark(benchmark).dataset)
    readable = read_what_is_readable(benchmark, root, paths.cache)
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
