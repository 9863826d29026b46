"""The body of `tracking/test.py`. Without torch, if the trackers are exported networks."""

import os
from collections import abc
from pathlib import Path

from lib.config.paths import Paths
from lib.evaluation.running.runner import is_part_of_run
from lib.programs.trials import Evaluation, tracking_process
from lib.runtime.program import Outcome, RequestError


def run_test(
    paths: Paths,
    command: abc.Sequence[str],
    dataset: str,
    config: str | None = None,
    name: str | None = None,
    checkpoint: abc.Sequence[Path] = (),
    network: abc.Sequence[Path] = (),
    sequence: abc.Sequence[str] = (),
    sweep: str | None = None,
    on_test_set: bool = False,
    processes: int = 1,
    batch: int | None = None,
    compile: bool = False,
    capture: bool = False,
    recover: bool = False,
    device: str = "auto",
    legacy_int: bool = False,
    overrides: abc.Sequence[str] = (),
) -> Evaluation | Outcome:
    """Test the exported networks in the folders ``network``, else the checkpoints of an experiment, on a benchmark.

    See ``evaluate_networks`` and ``evaluate_checkpoints``; ``recover`` searches for lost targets over the whole image.
    """
    if not (config or checkpoint or network):
        raise RequestError("name --config, --checkpoint, both, or --network")
    if network and (config or checkpoint or sweep or overrides or compile or capture):
        raise RequestError(
            "--network has its settings with it; leave out --config, --checkpoint, --sweep, --compile, --capture and "
            "overrides"
        )
    if on_test_set and not sweep:
        raise RequestError("--on-test-set goes with --sweep")
    if processes > 1 and "WORLD_SIZE" in os.environ and not is_part_of_run():
        raise RequestError("--processes starts the processes itself; leave it out under torchrun")
    common = {
        "names": sequence,
        "processes": processes,
        "command": command,
        "batch": batch,
        "device": device,
        "legacy_int": legacy_int,
    }
    with tracking_process():
        if network:
            from lib.programs.exported import evaluate_networks

            evaluation = evaluate_networks(paths, dataset, network, name, recover=recover, **common)
        else:
            from lib.programs.sweep import parse_sweep  # these import torch, which takes seconds or is not there
            from lib.programs.trained import evaluate_checkpoints

            evaluation = evaluate_checkpoints(
                paths,
                dataset,
                config,
                checkpoint,
                [*overrides, *(["test.tracker.recover=true"] if recover else [])],
                name,
                compiled=compile,
                captured=capture,
                sweep=parse_sweep(sweep) if sweep else None,
                on_test_set=on_test_set,
                **common,
            )
    return evaluation or Outcome()
