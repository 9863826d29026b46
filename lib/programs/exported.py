"""Exported networks tested on a benchmark. Without torch."""

import sys
from collections import abc
from functools import partial
from pathlib import Path

from lib.config.paths import Paths
from lib.evaluation.results.folder import open_results
from lib.evaluation.running.runner import Trial, is_part_of_run
from lib.export.exported import ExportedNetwork, open_network
from lib.inference.engine import Engine
from lib.inference.recovery import recover_lost
from lib.programs.trials import Evaluation, evaluate, read_chosen, recovery_in_words
from lib.runtime.cores import usable_cores

DESCRIPTION = "network.json"
RUNTIMES = ("onnxruntime", "openvino")


def evaluate_networks(
    paths: Paths,
    benchmark: str,
    networks: abc.Sequence[Path],
    run: str | None = None,
    names: abc.Sequence[str] = (),
    processes: int = 1,
    command: abc.Sequence[str] = (),
    device: str = "auto",
    batch: int | None = None,
    legacy_int: bool = False,
    recover: bool = False,
) -> Evaluation | None:
    """Track a benchmark's sequences with each exported network, named by its folder, and score them.

    Results lie under the experiment that the network is of, or under ``run``. ``names`` restricts the sequences.
    ``batch`` is the most sequences in a batch, None what suits the network. With ``recover`` lost targets are searched
    for over the whole image. For the rest see ``evaluate``. Raises ``ValueError`` for what cannot be read or does not
    fit.
    """
    if device not in ("auto", "cpu"):
        raise ValueError(f"--device {device}: exported networks run on the CPU; leave it out")
    readable = read_chosen(paths, benchmark, names)
    trials = []
    for folder in networks:
        network = _open(folder, recover)
        tracker = network.settings.tracker
        if batch is not None and network.batch not in (None, batch):
            raise ValueError(
                f"--batch {batch}: {folder} was exported for batches of {network.batch}; leave --batch out, or export "
                f"it with --batch {batch}"
            )
        results = open_results(
            paths.output,
            run or network.record.origin.experiment,
            benchmark,
            folder / DESCRIPTION,
            network.settings.model_dump(mode="json") | {"tracker": tracker.deciding()},
            network.device,
            label=folder.absolute().name,
            overrides=recovery_in_words(tracker),
            versions={name: sys.modules[name].__version__ for name in RUNTIMES if name in sys.modules},
            note=not is_part_of_run(),
        )
        make_engine = partial(_make_engine, folder, recover)
        trials.append(Trial(readable.sequences, make_engine, results, readable.unreadable, readable.left_out))
    return evaluate(benchmark, trials, networks, processes, command, legacy_int=legacy_int)


def _open(folder: Path, recover: bool, threads: int | None = None, streams: int = 1) -> ExportedNetwork:
    network = open_network(folder, threads, streams)
    if recover:
        recover_lost(network)
    return network


def _make_engine(folder: Path, recover: bool, most: int) -> Engine:
    cores = usable_cores()
    return Engine(_open(folder, recover, cores, streams=cores), finders=cores, most=most)
