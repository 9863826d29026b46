"""Exported networks as trials of a test. Without torch."""

import sys
from collections import abc
from functools import partial
from pathlib import Path

from lib.config.paths import Paths
from lib.evaluation.results.folder import open_results
from lib.evaluation.running.runner import Trial
from lib.export.exported import open_network
from lib.export.record import LIBRARIES, RECORD
from lib.inference.engine import Engine
from lib.runtime.machine import usable_cores
from lib.runtime.program import RequestError


def exported_trials(
    paths: Paths,
    benchmark: str,
    folders: abc.Sequence[Path],
    run: str | None = None,
    device: str = "auto",
    batch: int | None = None,
    recover: bool = False,
) -> list[Trial]:
    """A trial of each exported network, named by its folder.

    Its results lie under the experiment that it is of, or under ``run``. With ``recover`` lost targets are searched for
    over the whole image. Raises ``RequestError`` for another device than the CPU and for another batch than the
    network's, and ``ValueError`` for a network that cannot be read.
    """
    if device not in ("auto", "cpu"):
        raise RequestError(f"--device {device}: exported networks run on the CPU; leave it out")
    trials = []
    for folder in folders:
        network = open_network(folder, recover=recover)
        tracker = network.settings.tracker
        if batch not in (None, network.batch):
            raise RequestError(
                f"--batch {batch}: {folder} was exported for batches of {network.batch}; leave --batch out, or export "
                f"it with --batch {batch}"
            )
        results = open_results(
            paths.output,
            run or network.record.origin.experiment,
            benchmark,
            folder / RECORD,
            network.settings.model_dump(mode="json") | {"tracker": tracker.deciding()},
            network.device,
            label=folder.absolute().name,
            overrides=tracker.stated(),
            versions={name: sys.modules[name].__version__ for name in LIBRARIES.values() if name in sys.modules},
        )
        trials.append(Trial(partial(_make_engine, folder, recover), results, results.path.name, folder))
    return trials


def _make_engine(folder: Path, recover: bool, most: int) -> Engine:
    cores = usable_cores()
    return Engine(open_network(folder, cores, streams=cores, recover=recover), finders=cores, most=most)
