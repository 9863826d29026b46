"""Testing checkpoints of an experiment on a benchmark: what `tracking/test.py` does."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Many
from difflib import get_close_matches
from pathlib import Path

from lib.config.paths import Paths
from lib.data.types import Sequence
from lib.evaluation.benchmarks import Readable, find_benchmark, read_what_is_readable
from lib.evaluation.report import BenchmarkScore, score_benchmark, table
from lib.evaluation.results import ResultsFolder, open_results
from lib.evaluation.runner import NOTHING, RunSummary, run_benchmark
from lib.evaluation.workers import TrackerFactory
from lib.experiment.build import (
    build_model,
    experiment_of_checkpoint,
    load_checkpoint_weights,
    load_experiment,
    tracker_factory,
)
from lib.experiment.config import ExperimentConfig, to_tree
from lib.experiment.sweep import Sweep, Tested, check_sweep, sweep_table, write_sweep
from lib.runtime.process import find_device


def evaluate_checkpoints(
    paths: Paths,
    benchmark: str,
    config: str | None,
    checkpoints: Many[Path],
    overrides: Many[str] = (),
    run: str | None = None,
    names: Many[str] = (),
    processes: int = 0,
    device: str = "auto",
    sweep: Sweep | None = None,
    on_test_set: bool = False,
    legacy_int: bool = False,
) -> tuple[str, bool]:
    """Track a benchmark's sequences with each checkpoint and score them; the text to print, and whether all is whole.

    Without ``checkpoints`` the run's ``last.pth`` is taken; without ``config`` each checkpoint's own configuration.
    ``names`` restricts the sequences. With a ``sweep`` each checkpoint is tested with each of its values, on a test set
    only if ``on_test_set``. With ``legacy_int`` the finished sequences are written as integers too, beside the floats.
    Sequences that other commands are tracking are left to them, and the score with them, except in a sweep, which waits
    for them. Raises ``ValueError`` for what cannot be read or does not fit.
    """
    if sweep:
        check_sweep(sweep, benchmark, overrides, on_test_set)
    root = paths.dataset_root(find_benchmark(benchmark).dataset)
    sequences, unreadable = _chosen(read_what_is_readable(benchmark, root, paths.cache), names, benchmark)
    device = _present_device(device)
    if not checkpoints:
        checkpoints = [_last_checkpoint(paths.output / load_experiment(config, overrides, run).name)]
    # A mistake in the last of them is told before the first is tracked, and not by every process.
    values = zip(sweep.values, sweep.overrides(), strict=True) if sweep else [("", None)]
    cases = [
        (checkpoint, value, _checked_experiment(config, checkpoint, [*overrides, *([extra] if extra else [])], run))
        for value, extra in values
        for checkpoint in checkpoints
    ]
    texts, scores, complete = [], [], True
    for checkpoint, _, experiment in cases:
        make_tracker = tracker_factory(experiment, checkpoint, device, benchmark)
        folder = results_folder(paths, experiment, benchmark, checkpoint, device, sweep=sweep.text if sweep else "")
        summary, score = track_and_score(
            benchmark, sequences, make_tracker, folder, processes, unreadable, wait=sweep is not None
        )
        if legacy_int:
            finished = {status.name for status in summary.sequences if status.status in ("tracked", "kept")}
            for sequence in sequences:
                if sequence.name in finished:
                    folder.write_legacy_int(sequence)
        texts.append(f"{checkpoint}\n{summary.text()}\nresults: {folder.path}")
        if score is None:
            texts.append("no score yet: the command that finishes the last sequence computes it")
        else:
            scores.append(score)
        complete = complete and not summary.failed and not (score and score.errors)
    if scores:
        texts.append(table(scores))
    if sweep:
        tested = [Tested(value, checkpoint, score) for (checkpoint, value, _), score in zip(cases, scores, strict=True)]
        file = write_sweep(sweep, tested, paths.output / cases[0][2].name / "reports")
        texts.append(f"{sweep_table(sweep, tested)}\nkept in {file}")
    return "\n".join(texts), complete


def results_folder(
    paths: Paths,
    experiment: ExperimentConfig,
    benchmark: str,
    checkpoint: Path | None,
    device: str,
    label: str | None = None,
    sweep: str = "",
) -> ResultsFolder:
    """Where the results of a checkpoint under this experiment's settings for the benchmark lie."""
    resolved = to_tree(experiment.for_benchmark(benchmark))
    # What decides a tracked box: not the data or the recipe that the weights came from.
    settings = {section: resolved[section] for section in ("model", "template", "search", "test")}
    if checkpoint is None:
        settings["seed"] = experiment.seed
    return open_results(
        paths.output,
        experiment.name,
        benchmark,
        checkpoint,
        settings,
        device,
        label=label,
        overrides=dict(experiment.test.per_dataset.get(benchmark, {})),
        sweep=sweep,
    )


def track_and_score(
    benchmark: str,
    sequences: Many[Sequence],
    make_tracker: TrackerFactory,
    folder: ResultsFolder,
    processes: int,
    unreadable: Mapping[str, str] = NOTHING,
    wait: bool = True,
) -> tuple[RunSummary, BenchmarkScore | None]:
    """Track what is not finished in ``folder``, score it all, and keep the score there as ``score.json``.

    For ``processes``, ``unreadable`` and ``wait`` see ``run_benchmark``. The score is None where other commands still
    have sequences, which can only be without ``wait``; the last of them scores.
    """
    summary = run_benchmark(sequences, make_tracker, folder, processes, unreadable, wait)
    if summary.elsewhere:
        return summary, None
    failed = {status.name: status.reason for status in summary.failed}
    finished = [sequence for sequence in sequences if sequence.name not in failed]
    score = score_benchmark(benchmark, finished, folder, failed)
    folder.write_json("score.json", score.as_dict())
    return summary, score


def _last_checkpoint(run: Path) -> Path:
    path = run / "checkpoints" / "last.pth"
    if not path.is_file():
        raise ValueError(f"{path}: no such checkpoint; train the experiment first, or name another with --checkpoint")
    return path


def _checked_experiment(
    config: str | None, checkpoint: Path, overrides: Many[str], run: str | None
) -> ExperimentConfig:
    """The experiment to test a checkpoint with, of which the checkpoint's weights are."""
    if config:
        experiment = load_experiment(config, overrides, run)
    else:
        experiment = experiment_of_checkpoint(checkpoint, overrides, run)
    load_checkpoint_weights(build_model(experiment), checkpoint)
    return experiment


def _present_device(device: str) -> str:
    """``auto`` decided, and ``cuda`` left without a number, so that processes take the GPUs in turn.

    ``ValueError`` for a device that is not there.
    """
    place = find_device(device)
    return str(place) if ":" in device else place.type


def _chosen(readable: Readable, names: Many[str], benchmark: str) -> Readable:
    if not names:
        return readable
    known = {sequence.name: sequence for sequence in readable.sequences}
    every = [*known, *readable.unreadable]
    for name in names:
        if name not in every:
            near = get_close_matches(name, every, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {len(every)} others"
            raise ValueError(f"--sequence: {benchmark} has no sequence {name}; {hint}")
    return Readable(
        [known[name] for name in dict.fromkeys(names) if name in known],
        {name: reason for name, reason in readable.unreadable.items() if name in names},
    )
