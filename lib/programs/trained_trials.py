"""Checkpoints of an experiment as trials of a test, and the folders of their results."""

from collections import abc
from dataclasses import replace
from pathlib import Path

from lib.config.paths import Paths
from lib.evaluation.results.folder import ResultsFolder, open_results
from lib.evaluation.running.runner import Trial
from lib.experiment.build import TorchForm, trained_model
from lib.experiment.config import to_tree
from lib.programs.network_choice import choose_form
from lib.programs.sweep import Sweep
from lib.runtime.process import describe_device, device_in_turn


def trained_trials(
    paths: Paths,
    benchmark: str,
    config: str | None,
    checkpoints: abc.Sequence[Path] = (),
    overrides: abc.Sequence[str] = (),
    run: str | None = None,
    device: str = "auto",
    batch: int | None = None,
    compiled: bool = False,
    captured: bool = False,
    sweep: Sweep | None = None,
) -> list[Trial]:
    """A trial of each checkpoint, with each value of a ``sweep``.

    Without ``checkpoints`` or ``config`` see ``choose_form``, for the rest ``TorchForm``. Raises ``ValueError`` for a
    checkpoint that cannot be read or does not fit, before there is any folder of results.
    """
    forms = []
    for setting in sweep.overrides if sweep else [""]:
        for checkpoint in checkpoints or [None]:
            words = [*overrides, setting] if setting else overrides
            form = choose_form(paths, config, checkpoint, words, device, benchmark, run)
            trained_model(form.experiment, form.checkpoint, folder=paths.pretrained_models)  # checked before any is run
            forms.append((setting, replace(form, batch=batch, compiled=compiled, captured=captured)))
    trials = []
    for setting, form in forms:
        results = results_of(paths, form, sweep=sweep.text if sweep else "")
        engine = replace(form, checksum=results.checksum()).engine
        trials.append(Trial(engine, results, f"{setting} {results.path.name}".lstrip(), form.checkpoint))
    return trials


def results_of(paths: Paths, form: TorchForm, label: str | None = None, sweep: str = "") -> ResultsFolder:
    """The folder with the results of a network on its benchmark.

    In reduced precision the batch belongs to the settings: there it can move boxes by pixels (docs/testing.md). For
    ``label`` and ``sweep`` see ``open_results``.
    """
    experiment = form.experiment
    own = experiment.for_benchmark(form.benchmark)
    resolved, tracker = to_tree(own), own.test.tracker
    # The sections that decide a tracked box; data and recipe of the weights do not.
    settings = {section: resolved[section] for section in ("model", "template", "search", "test")}
    settings["test"]["tracker"] = tracker.deciding()
    if experiment.test.precision != "fp32":
        settings["batch"] = form.batch
    if form.checkpoint is None:
        settings["seed"] = experiment.seed
    device = device_in_turn(form.device)
    hardware, versions = describe_device(device)
    return open_results(
        paths.output,
        experiment.name,
        form.benchmark,
        form.checkpoint,
        settings,
        device,
        label=label,
        overrides=dict(experiment.test.per_dataset.get(form.benchmark, {})) | tracker.stated(),
        sweep=sweep,
        hardware=hardware,
        versions=versions,
    )
