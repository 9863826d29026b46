"""Exporting the network of a checkpoint to a folder: what `tracking/export_model.py` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from lib.config.paths import Paths
from lib.config.schema import ConfigError
from lib.experiment.build import build_network, default_checkpoint, experiment_of_checkpoint, load_experiment
from lib.experiment.config import ExperimentConfig, to_tree
from lib.export.exporting import check_folder, check_form, export_network
from lib.export.record import ExportPrecision, Origin, Runtime
from lib.programs.exported import evaluate_networks
from lib.programs.testing import read_chosen
from lib.programs.trained import evaluate_checkpoints
from lib.runtime.checkpoint import checksum_of


def export_checkpoint(
    paths: Paths,
    config: str | None,
    checkpoint: Path | None,
    runtime: Runtime,
    precision: ExportPrecision,
    batch: int = 1,
    dataset: str | None = None,
    out: Path | None = None,
    score: str | None = None,
    overrides: Iterable[str] = (),
) -> Iterator[str]:
    """Write the network of ``checkpoint`` for ``runtime``; gives texts to print, each when it is known.

    Without ``config`` the checkpoint's own configuration holds, without ``checkpoint`` the experiment's
    ``default_checkpoint``; one of the two is named. ``dataset`` is a benchmark whose test-time values are
    taken; ``out`` is by default ``<output>/<experiment>/exported/<runtime>_<precision>_<batch>``. With ``score`` both
    forms are tested on that benchmark in the end. Raises ``ExportError`` where the network cannot be exported so, and
    where the exported one answers otherwise than eager; ``ValueError`` for a benchmark that is not there and, in the
    end, for one that not all was tracked of.
    """
    check_form(runtime, precision)
    # Eager, to compare with, runs in fp32, whatever precision it is tested in.
    overrides = (*overrides, "test.precision=fp32")
    if config:
        experiment = load_experiment(config, overrides)
        checkpoint = checkpoint or default_checkpoint(experiment, paths)
    else:
        experiment = experiment_of_checkpoint(checkpoint, overrides)
    folder = out or paths.output / experiment.name / "exported" / f"{runtime}_{precision}_{batch}"
    check_folder(folder)
    if score:
        _check_score(paths, experiment, dataset, score)
    baked = experiment.for_benchmark(dataset)
    checksum = checksum_of(checkpoint)
    network = build_network(baked, checkpoint, checksum=checksum, pretrained_models=paths.pretrained_models)
    origin = Origin(
        experiment=experiment.name,
        checkpoint_sha256=checksum.removeprefix("sha256 "),
        dataset=dataset,
        model=to_tree(baked)["model"],
    )
    report = export_network(network, folder, runtime, precision, batch, origin)
    yield f"{report.text()}\n{folder}: written, for batches of {batch}"
    if score:
        evaluations = (
            evaluate_checkpoints(paths, score, config, [checkpoint], overrides, device="cpu"),
            evaluate_networks(paths, score, [folder]),
        )
        for evaluation in evaluations:
            assert evaluation is not None, "the processes of a launcher track, and this is none of them"
            yield evaluation.text
        if not all(evaluation.complete for evaluation in evaluations):
            raise ValueError(f"--score {score}: not every sequence was tracked")


def _check_score(paths: Paths, experiment: ExperimentConfig, dataset: str | None, score: str) -> None:
    """Raise ``ValueError`` for a benchmark that cannot be read, or with values that the exported network lacks."""
    read_chosen(paths, score, ())
    if score != dataset and experiment.test.per_dataset.get(score):
        keys = ", ".join(experiment.test.per_dataset[score])
        raise ConfigError(f"--score {score}: there the network has values of its own ({keys}); add --dataset {score}")
