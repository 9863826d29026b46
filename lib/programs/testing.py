"""The body of `tracking/test.py`: trackers that are run on a benchmark, scored and reported. Without torch, if all of
them are exported networks."""

import json
import os
from collections import abc
from dataclasses import replace
from itertools import product
from pathlib import Path

from lib.config.paths import Paths
from lib.config.schema import suggest
from lib.evaluation.benchmarks import Readable, find_benchmark, read_benchmark
from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.reports.comparison import Comparison, compare
from lib.evaluation.reports.layout import score_tables
from lib.evaluation.reports.plain import plain_score
from lib.evaluation.reports.tables import render_table
from lib.evaluation.results.lookup import open_result_set
from lib.evaluation.running.runner import RunReport, Trial, run_trials
from lib.programs.exported_trials import exported_trials
from lib.runtime.escapes import printable
from lib.runtime.files import write_text
from lib.runtime.program import RequestError, TextResult
from lib.runtime.stop import terminated_like_interrupted


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
) -> TextResult:
    """Test the exported networks in the folders ``network``, else the checkpoints of an experiment, on the benchmark
    ``dataset``. The result is good if every sequence has a track and a score. The program's ``--help`` describes the
    arguments.

    Each value of a ``sweep`` is tested with each checkpoint; it waits for sequences that other commands are tracking.
    Raises ``RequestError`` for arguments that do not go together, and ``ValueError`` for what cannot be read or does
    not fit.
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
        if not network:
            # These import torch, which takes seconds.
            from lib.programs.sweep import parse_sweep, report_sweep
            from lib.programs.trained_trials import trained_trials

            tried = parse_sweep(sweep, dataset, overrides, on_test_set) if sweep else None
            overrides = [*overrides, *(["test.tracker.recover=true"] if recover else [])]
        readable = read_chosen(paths, dataset, sequence)
        if network:
            trials = exported_trials(paths, dataset, network, name, device, batch, recover)
        else:
            trials = trained_trials(
                paths, dataset, config, checkpoint, overrides, name, device, batch, compile, capture, tried
            )
        trials = list({trial.folder.path: trial for trial in trials}.values())  # a network that is named twice is one
        report, comparison = track_and_score(dataset, readable, trials, processes, wait=tried is not None)
        for trial, each in product(trials, readable.sequences) if legacy_int else ():
            if trial.folder.is_finished(each):
                trial.folder.write_legacy_int(each)
        lines = _describe(trials, report, comparison)
        if tried:
            lines += report_sweep(tried, comparison, paths)
        complete = comparison.is_complete() and not any(summary.failed for summary in report.summaries)
        return TextResult("\n".join(lines), complete)


def read_chosen(paths: Paths, benchmark: str, names: abc.Sequence[str] = ()) -> Readable:
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
    benchmark: str, readable: Readable, trials: abc.Sequence[Trial], processes: int = 1, wait: bool = True
) -> tuple[RunReport, Comparison]:
    """Track what is not finished of each trial, score it all, and keep each score in its folder as ``score.json``.

    A score that lacks other sequences of the set (``ScoredRun.others``) is not kept. For ``processes`` and ``wait`` see
    ``run_trials``. Without ``wait`` other commands may still track sequences of a trial: then it has no entry in the
    comparison, and the last of these commands scores it.
    """
    report = run_trials(readable, trials, processes, wait)
    finished = [
        (trial, {status.name: status.reason for status in summary.failed})
        for trial, summary in zip(trials, report.summaries, strict=True)
        if not summary.elsewhere
    ]
    comparison = compare(
        benchmark,
        readable.sequences,
        [(trial.label, [open_result_set(trial.folder.path, benchmark)]) for trial, _ in finished],
        tuple(PROTOCOLS),
        failures={trial.label: failed for trial, failed in finished},
        left_out=readable.left_out,
    )
    own = find_benchmark(benchmark)
    comparison = replace(comparison, protocols=() if own.server else (own.protocol,))
    for (trial, _), run in zip(finished, comparison.runs, strict=True):
        if not run.others:
            content = json.dumps(plain_score(comparison, run), indent=1, allow_nan=False)
            write_text(trial.folder.path / "score.json", content + "\n")
    return report, comparison


def _describe(trials: abc.Sequence[Trial], report: RunReport, comparison: Comparison) -> list[str]:
    lines = []
    for trial, summary in zip(trials, report.summaries, strict=True):
        lines += [printable(str(trial.source)), summary.text(), printable(f"results: {trial.folder.path}")]
        if summary.elsewhere:
            lines.append("no score yet: the command that finishes the last sequence computes it")
    if text := report.text():
        lines.append(text)
    if comparison.entries:
        [table] = score_tables([comparison], counts=True)
        lines.append(render_table(table, "text", digits=2).rstrip("\n"))
        lines += [printable(f"{run.results.source}: score.json is left alone") for run in comparison.runs if run.others]
    return lines
