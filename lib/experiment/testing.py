"""Testing checkpoints of an experiment on a benchmark: what `tracking/test.py` does."""

from __future__ import annotations

from collections.abc import Sequence as Many
from difflib import get_close_matches
from pathlib import Path

from lib.config.paths import Paths
from lib.data.types import Sequence
from lib.evaluation.benchmarks import find_benchmark, read_benchmark
from lib.evaluation.report import BenchmarkScore, score_benchmark, table
from lib.evaluation.results import ResultsFolder, open_results
from lib.evaluation.runner import RunSummary, TrackerFactory, run_benchmark
from lib.experiment.build import (
    build_model,
    experiment_of_checkpoint,
    load_checkpoint_weights,
    load_experiment,
    tracker_factory,
)
from lib.experiment.config import ExperimentConfig, to_tree
from lib.runtime.process import find_device


def evaluate_checkpoints(
    paths: Paths,
    benchmark: str,
    config: str | None,
    checkpoints: Many[Path],
    overrides: Many[str] = (),
    run: str | None = None,
    names: Many[str] = (),
    processes: int = 1,
    device: str = "auto",
) -> tuple[str, bool]:
    """Track a benchmark's sequences with each checkpoint and score them; the text to print, and whether all is whole.

    Without ``checkpoints`` the run's ``last.pth`` is taken; without ``config`` each checkpoint's own configuration.
    ``names`` restricts the sequences. Raises ``ValueError`` for what cannot be read or does not fit.
    """
    root = paths.dataset_root(find_benchmark(benchmark).dataset)
    sequences = _chosen(read_benchmark(benchmark, root, paths.cache), names, benchmark)
    device = _present_device(device)
    if not checkpoints:
        checkpoints = [_last_checkpoint(paths.output / load_experiment(config, overrides, run).name)]
    # A mistake in the last of them is told before the first is tracked, and not by every process.
    experiments = [_checked_experiment(config, checkpoint, overrides, run) for checkpoint in checkpoints]
    texts, scores, complete = [], [], True
    for experiment, checkpoint in zip(experiments, checkpoints, strict=True):
        make_tracker = tracker_factory(experiment, checkpoint, device, benchmark)
        folder = results_folder(paths, experiment, benchmark, checkpoint, device)
        summary, score = track_and_score(benchmark, sequences, make_tracker, folder, processes)
        texts.append(f"{checkpoint}\n{summary.text()}\nresults: {folder.path}")
        scores.append(score)
        complete = complete and not summary.failed and not score.errors
    return "\n".join([*texts, table(scores)]), complete


def results_folder(
    paths: Paths,
    experiment: ExperimentConfig,
    benchmark: str,
    checkpoint: Path | None,
    device: str,
    label: str | None = None,
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
    )


def track_and_score(
    benchmark: str, sequences: list[Sequence], make_tracker: TrackerFactory, folder: ResultsFolder, processes: int
) -> tuple[RunSummary, BenchmarkScore]:
    """Track what is not finished in ``folder``, score it all, and keep the score there as ``score.json``."""
    summary = run_benchmark(sequences, make_tracker, folder, processes)
    score = score_benchmark(benchmark, sequences, folder)
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


def _chosen(sequences: list[Sequence], names: Many[str], benchmark: str) -> list[Sequence]:
    known = {sequence.name: sequence for sequence in sequences}
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {len(known)} others"
            raise ValueError(f"--sequence: {benchmark} has no sequence {name}; {hint}")
    return [known[name] for name in dict.fromkeys(names)] if names else sequences
