"""The body of `tracking/export_model.py`: the network of a checkpoint as a folder that runs without PyTorch."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from lib.config.paths import Paths
from lib.config.schema import ConfigError
from lib.experiment.config import to_tree
from lib.export.exporting import check_folder, check_form, export_network
from lib.export.record import ExportPrecision, Origin, Runtime
from lib.programs.network_choice import choose_form
from lib.programs.testing import read_chosen, run_test
from lib.runtime.checkpoint import checksum_of
from lib.runtime.program import TextResult
from lib.runtime.stop import terminated_like_interrupted

logger = logging.getLogger(__name__)


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
) -> TextResult:
    """Write the network of ``choose_form`` for ``runtime``.

    ``dataset`` is a benchmark whose test-time values are taken; ``out`` is by default
    ``<output>/<experiment>/exported/<runtime>_<precision>_<batch>``. With ``score`` both networks are tested on that
    benchmark at the end; the result is good if every sequence was tracked. Raises ``ExportError`` for a network that
    cannot be exported in this form or then differs from the eager one, and ``ValueError`` for an unknown benchmark.
    """
    check_form(runtime, precision)
    # Eager, to compare with, runs in fp32, whatever precision it is tested in.
    overrides = (*overrides, "test.precision=fp32")
    form = choose_form(paths, config, checkpoint, overrides, benchmark=dataset)
    experiment = form.experiment
    folder = out or paths.output / experiment.name / "exported" / f"{runtime}_{precision}_{batch}"
    check_folder(folder)
    if score:
        read_chosen(paths, score)
        own = experiment.test.per_dataset.get(score)
        if own and score != dataset:
            keys = ", ".join(own)
            remedy = f"add --dataset {score}"
            raise ConfigError(f"--score {score}: there the network has values of its own ({keys}); {remedy}")
    model = to_tree(experiment.for_benchmark(dataset))["model"]
    checksum = checksum_of(form.checkpoint)
    origin = Origin(
        experiment=experiment.name, checkpoint_sha256=checksum.removeprefix("sha256 "), dataset=dataset, model=model
    )
    network = replace(form, checksum=checksum).network()
    with terminated_like_interrupted():
        report = export_network(network, folder, runtime, precision, batch, origin)
    written = f"{folder}: written, for batches of {batch}"
    texts, good = [report.text(), written], True
    if score:
        logger.info(written)
        for tested in (
            {"config": config, "checkpoint": [form.checkpoint], "overrides": overrides, "device": "cpu"},
            {"network": [folder]},
        ):
            evaluation = run_test(paths, score, **tested)
            texts.append(evaluation.text())
            good = good and evaluation.good
    return TextResult("\n".join(texts), good)
