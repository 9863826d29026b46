"""Testing trackers on a benchmark: what `tracking/test.py` does, whatever the trackers are made from. Without torch."""

from __future__ import annotations

from collections.abc import Sequence as Many
from pathlib import Path
from typing import NamedTuple

from lib.config.paths import Paths
from lib.config.suggestion import suggest
from lib.evaluation.benchmarks import Readable, find_benchmark, read_what_is_readable
from lib.evaluation.reports.report import BenchmarkScore, score_benchmark, table
from lib.evaluation.running.runner import Report, Trial, run_trials
from lib.inference.settings import TrackerConfig
from lib.runtime.escapes import printable


class Evaluation(NamedTuple):
    """The text to print, the score of each trial (None of one that other commands have not finished), and whether all
    is whole."""

    text: str
    scores: list[BenchmarkScore | None]
    complete: bool


def evaluate(
    benchmark: str,
    trials: Many[Trial],
    sources: Many[Path],
    processes: int = 1,
    command: Many[str] = (),
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
    report, scores = tracked
    texts = []
    for trial, source, summary, score in zip(trials, sources, report.summaries, scores, strict=True):
        if legacy_int:
            finished = {status.name for status in summary.sequences if status.status in ("tracked", "kept")}
            for sequence in trial.sequences:
                if sequence.name in finished:
                    trial.folder.write_legacy_int(sequence)
        texts += [printable(str(source)), summary.text(), printable(f"results: {trial.folder.path}")]
        if score is None:
            texts.append("no score yet: the command that finishes the last sequence computes it")
    if text := report.text():
        texts.append(text)
    if whole := [score for score in scores if score is not None]:
        texts.append(table(whole))
    failed = any(summary.failed for summary in report.summaries) or any(score.errors for score in whole)
    return Evaluation("\n".join(texts), scores, not failed)


def track_and_score(
    benchmark: str, trials: Many[Trial], processes: int = 1, command: Many[str] = (), wait: bool = True
) -> tuple[Report, list[BenchmarkScore | None]] | None:
    """Track what is not finished of each trial, score it all, and keep the score in its folder as ``score.json``.

    A score that is without other sequences of the set (``BenchmarkScore.others``) is not kept.

    For ``processes``, ``command`` and ``wait`` see ``run_trials``; None where that gives None. A score is None where
    other commands still have sequences, which can only be without ``wait``; the last of them scores.
    """
    report = run_trials(trials, processes, command, wait)
    if report is None:
        return None
    scores: list[BenchmarkScore | None] = []
    for trial, summary in zip(trials, report.summaries, strict=True):
        score = None
        if not summary.elsewhere:
            failed = {status.name: status.reason for status in summary.failed}
            finished = [sequence for sequence in trial.sequences if sequence.name not in failed]
            score = score_benchmark(benchmark, finished, trial.folder, failed, trial.left_out)
            if not score.others:
                trial.folder.write_json("score.json", score.as_dict())
        scores.append(score)
    return report, scores


def recovery_in_words(tracker: TrackerConfig) -> dict[str, bool]:
    """What reports state of a tracker that searches for lost targets, as a setting by its key; nothing of others."""
    return {"test.tracker.recover": True} if tracker.recover else {}


def read_chosen(paths: Paths, benchmark: str, names: Many[str]) -> Readable:
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
