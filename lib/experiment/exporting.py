"""Exporting the network of a checkpoint to a folder: what `tracking/export_model.py` does."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lib.config.paths import Paths
from lib.experiment.build import build_network, experiment_of_checkpoint, load_experiment
from lib.experiment.config import to_tree
from lib.export.exporting import check_folder, check_form, export_network
from lib.export.record import ExportPrecision, Origin, Runtime
from lib.runtime.files import file_sha256


def export_checkpoint(
    paths: Paths,
    config: str | None,
    checkpoint: Path,
    runtime: Runtime,
    precision: ExportPrecision,
    batch: int = 1,
    dataset: str | None = None,
    out: Path | None = None,
    overrides: Iterable[str] = (),
) -> str:
    """Write the network of ``checkpoint`` for ``runtime``; the parity report and where it lies, to print.

    Without ``config`` the checkpoint's own configuration holds; ``dataset`` is a benchmark whose test-time values are
    taken; ``out`` is by default ``<output>/<experiment>/exported/<runtime>_<precision>_<batch>``. Raises
    ``ExportError`` where the network cannot be exported so, and where the exported one answers otherwise than eager.
    """
    check_form(runtime, precision)
    experiment = load_experiment(config, overrides) if config else experiment_of_checkpoint(checkpoint, overrides)
    baked = experiment.for_benchmark(dataset)
    folder = out or paths.output / experiment.name / "exported" / f"{runtime}_{precision}_{batch}"
    check_folder(folder)
    # Eager, to compare with, runs in fp32, whatever precision it is tested in.
    network = build_network(
        baked.model_copy(update={"test": baked.test.model_copy(update={"precision": "fp32"})}), checkpoint
    )
    origin = Origin(
        experiment=experiment.name,
        checkpoint_sha256=file_sha256(checkpoint),
        dataset=dataset,
        model=to_tree(baked)["model"],
    )
    report = export_network(network, folder, runtime, precision, batch, origin)
    return f"{report.text()}\n{folder}: written, for batches of {batch}"
