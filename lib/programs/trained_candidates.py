"""Checkpoints of an experiment as candidates of a test, and the folders of their results."""

from collections import abc
from dataclasses import replace
from pathlib import Path

from lib.config.paths import Paths
from lib.evaluation.results.folder import ResultsFolder, open_results
from lib.experiment.build import TorchForm, trained_model
from lib.experiment.config import to_tree
from lib.programs.network_choice import choose_checkpoint
from lib.programs.sweep import Sweep
from lib.programs.testing import Candidate
from lib.runtime.process import describe_device, device_in_turn


def trained_candidates(
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
) -> list[Candidate]:
    """A candidate for each checkpoint, with each value of a ``sweep``.

    Without ``checkpoints`` the experiment's ``default_checkpoint`` is taken; without ``config`` each checkpoint's own
    configuration. ``run`` replaces the experiment's name. For the rest see ``TorchForm``. Raises ``ValueError`` for a
    checkpoint that cannot be read or does not fit, before there is any folder of results.
    """
    if not checkpoints:
        checkpoints = [choose_checkpoint(paths, config, None, overrides, run)[1]]
    forms = []
    for setting in sweep.overrides() if sweep else [""]:
        for checkpoint in checkpoints:
            words = [*overrides, setting] if setting else overrides
            experiment, _ = choose_checkpoint(paths, config, checkpoint, words, run)
            trained_model(experiment, checkpoint, folder=paths.pretrained_models)  # checked before the first is tracked
            form = TorchForm(
                experiment, checkpoint, device, benchmark, batch, compiled, captured,
                pretrained_models=paths.pretrained_models,
            )  # fmt: skip
            forms.append((setting, form))
    candidates = []
    for setting, form in forms:
        results = results_of(paths, form, sweep=sweep.text if sweep else "")
        engine = replace(form, checksum=results.checksum()).engine
        candidates.append(Candidate(form.checkpoint, results, engine, setting))
    return candidates


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
