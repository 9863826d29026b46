"""Checkpoints of an experiment tested on a benchmark."""

from collections import abc
from dataclasses import replace
from pathlib import Path

from lib.config.paths import Paths
from lib.evaluation.results.folder import ResultsFolder, open_results
from lib.evaluation.running.runner import Trial, is_part_of_run
from lib.experiment.build import engine_factory, trained_model
from lib.experiment.config import ExperimentConfig, to_tree
from lib.programs.chosen import find_chosen
from lib.programs.sweep import Sweep, Tested, check_sweep, sweep_table, write_sweep
from lib.programs.trials import Evaluation, evaluate, read_chosen, recovery_in_words
from lib.runtime.process import describe_device, device_in_turn


def evaluate_checkpoints(
    paths: Paths,
    benchmark: str,
    config: str | None,
    checkpoints: abc.Sequence[Path],
    overrides: abc.Sequence[str] = (),
    run: str | None = None,
    names: abc.Sequence[str] = (),
    processes: int = 1,
    command: abc.Sequence[str] = (),
    device: str = "auto",
    batch: int | None = None,
    compiled: bool = False,
    captured: bool = False,
    sweep: Sweep | None = None,
    on_test_set: bool = False,
    legacy_int: bool = False,
) -> Evaluation | None:
    """Track a benchmark's sequences with each checkpoint and score them.

    Without ``checkpoints`` the experiment's ``default_checkpoint`` is taken; without ``config`` each checkpoint's own
    configuration.
    ``names`` restricts the sequences. ``batch`` is the most sequences in a batch, None what suits the device; for
    ``compiled`` and ``captured`` see ``lib.inference.eager.TorchNetwork``. With a ``sweep`` each checkpoint is tested
    with each of its values, on a test set only if ``on_test_set``; it waits for sequences that other commands are
    tracking. For the rest see ``evaluate``. Raises ``ValueError`` for what cannot be read or does not fit.
    """
    if sweep:
        check_sweep(sweep, benchmark, overrides, on_test_set)
    readable = read_chosen(paths, benchmark, names)
    device = device_in_turn(device)
    if not checkpoints:
        checkpoints = [find_chosen(paths, config, None, overrides, run)[1]]
    # A mistake in the last of them is reported before the first is tracked, and not by every process.
    values = zip(sweep.values, sweep.overrides(), strict=True) if sweep else [("", None)]
    cases = [
        (
            checkpoint,
            value,
            _checked_experiment(paths, config, checkpoint, [*overrides, *([extra] if extra else [])], run),
        )
        for value, extra in values
        for checkpoint in checkpoints
    ]
    trials = []
    for checkpoint, _, experiment in cases:
        swept = sweep.text if sweep else ""
        results = results_folder(paths, experiment, benchmark, checkpoint, device, batch, sweep=swept)
        form = {"compiled": compiled, "captured": captured, "pretrained_models": paths.pretrained_models}
        engine = engine_factory(experiment, checkpoint, device, benchmark, batch, **form, checksum=results.checksum())
        trials.append(Trial(readable.sequences, engine, results, readable.unreadable, readable.left_out))
    sources = [checkpoint for checkpoint, _, _ in cases]
    evaluation = evaluate(benchmark, trials, sources, processes, command, sweep is not None, legacy_int)
    if evaluation is None or sweep is None:
        return evaluation
    comparison = evaluation.comparison
    tested = [
        Tested(value, checkpoint, run) for (checkpoint, value, _), run in zip(cases, comparison.runs, strict=True)
    ]
    file = write_sweep(sweep, comparison, tested, paths.output / cases[0][2].name / "reports")
    text = f"{evaluation.message}\n{sweep_table(sweep, comparison, tested)}\nkept in {file}"
    return replace(evaluation, message=text)


def results_folder(
    paths: Paths,
    experiment: ExperimentConfig,
    benchmark: str,
    checkpoint: Path | None,
    device: str,
    batch: int | None = None,
    label: str | None = None,
    sweep: str = "",
) -> ResultsFolder:
    """Where the results of a checkpoint under this experiment's settings for the benchmark lie.

    In reduced precision the ``batch`` belongs to the settings: there it can move boxes by pixels (docs/testing.md).
    """
    own = experiment.for_benchmark(benchmark)
    resolved, tracker = to_tree(own), own.test.tracker
    # The sections that decide a tracked box; data and recipe of the weights do not.
    settings = {section: resolved[section] for section in ("model", "template", "search", "test")}
    settings["test"]["tracker"] = tracker.deciding()
    if experiment.test.precision != "fp32":
        settings["batch"] = batch
    if checkpoint is None:
        settings["seed"] = experiment.seed
    hardware, versions = describe_device(device)
    return open_results(
        paths.output,
        experiment.name,
        benchmark,
        checkpoint,
        settings,
        device,
        label=label,
        overrides=dict(experiment.test.per_dataset.get(benchmark, {})) | recovery_in_words(tracker),
        sweep=sweep,
        hardware=hardware,
        versions=versions,
        note=not is_part_of_run(),
    )


def _checked_experiment(
    paths: Paths, config: str | None, checkpoint: Path, overrides: abc.Sequence[str], run: str | None
) -> ExperimentConfig:
    """The experiment to test a checkpoint with; raises unless the checkpoint's weights fit it."""
    experiment, _ = find_chosen(paths, config, checkpoint, overrides, run)
    if not is_part_of_run():  # the process that started this one has checked them
        trained_model(experiment, checkpoint, folder=paths.pretrained_models)
    return experiment
