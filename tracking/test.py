"""Test trackers on a benchmark and score them:
python tracking/test.py --config grm_vitb --dataset got10k_val [--checkpoint FILE ...] [section.key=value ...]
python tracking/test.py --network FOLDER --dataset got10k_val"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from lib.runtime.program import program, starting

with starting():
    from lib.config.paths import load_paths, user_path
    from lib.runtime.escapes import show
    from lib.runtime.launch import has_launcher
    from lib.runtime.logs import set_up_logging
    from lib.runtime.stop import terminated_like_interrupted

if TYPE_CHECKING:
    from lib.programs.testing import Evaluation


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--config", help="name in experiments/ or path; without it, the checkpoint's own configuration")
    parser.add_argument("--name", help="name of the run in the output folder, if it is not the experiment's")
    parser.add_argument("--dataset", required=True, help="benchmark: got10k_val, got10k_test ...")
    parser.add_argument("--sequence", action="append", default=[], help="only this sequence (may be repeated)")
    parser.add_argument(
        "--checkpoint", type=user_path, action="append", default=[],
        help="weights, of a run or as their authors released them (may be repeated); without it, the run's "
        "last.pth, else the weights that the experiment names",
    )  # fmt: skip
    parser.add_argument(
        "--network", type=user_path, action="append", default=[],
        help="folder of an exported network instead of an experiment (may be repeated); it runs without torch",
    )  # fmt: skip
    parser.add_argument("--sweep", metavar="KEY=VALUES", help="test each value: key=start:stop:step or key=a,b,c")
    parser.add_argument("--on-test-set", action="store_true", help="allow --sweep on a test set; reports will say so")
    parser.add_argument(
        "--processes", type=int, default=1,
        help="processes that share the sequences, with those of other commands on the same; 0 or 1: within the program",
    )  # fmt: skip
    parser.add_argument("--batch", type=int, help="sequences in a batch (default: what suits the network and device)")
    parser.add_argument("--compile", action="store_true", help="run the network through torch.compile")
    parser.add_argument("--capture", action="store_true", help="run the network as a captured graph (CUDA)")
    parser.add_argument(
        "--recover", action="store_true",
        help="search for lost targets over the whole image (docs/confidence.md), with results in a folder of their own",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (processes take GPUs in turn) or cuda:N")
    parser.add_argument(
        "--legacy-int", action="store_true",
        help="write boxes as truncated integers too, to <results>/legacy_int, for tools that read pytracking's files",
    )  # fmt: skip
    parser.add_argument("--paths", type=user_path, help="file instead of paths.yaml")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values of the configuration")
    arguments = parser.parse_intermixed_args()
    if not (arguments.config or arguments.checkpoint or arguments.network):
        parser.error("name --config, --checkpoint, both, or --network")
    alone = ("config", "checkpoint", "sweep", "overrides", "compile", "capture")
    if arguments.network and any(getattr(arguments, name) for name in alone):
        parser.error(
            "--network has its settings with it; leave out --config, --checkpoint, --sweep, --compile, --capture and "
            "overrides"
        )
    if arguments.on_test_set and not arguments.sweep:
        parser.error("--on-test-set goes with --sweep")
    if arguments.processes < 0:
        parser.error("--processes must be 0 or more")
    if arguments.processes > 1 and "WORLD_SIZE" in os.environ and not has_launcher():
        parser.error("--processes starts the processes itself; leave it out under torchrun")
    if arguments.batch is not None and arguments.batch < 1:
        parser.error("--batch must be 1 or more")
    return arguments


def evaluate(arguments: argparse.Namespace) -> Evaluation | None:
    """Track and score; what is imported here takes seconds, or is there only with torch."""
    words = {
        "paths": load_paths(arguments.paths),
        "benchmark": arguments.dataset,
        "names": arguments.sequence,
        "processes": arguments.processes,
        "command": [__file__, *sys.argv[1:]],
        "batch": arguments.batch,
        "device": arguments.device,
        "legacy_int": arguments.legacy_int,
    }
    if arguments.network:
        with starting():
            from lib.programs.exported import evaluate_networks

        return evaluate_networks(**words, networks=arguments.network, run=arguments.name, recover=arguments.recover)
    with starting():
        from lib.programs.sweep import parse_sweep
        from lib.programs.trained import evaluate_checkpoints

    return evaluate_checkpoints(
        **words,
        config=arguments.config,
        checkpoints=arguments.checkpoint,
        overrides=[*arguments.overrides, *(["test.tracker.recover=true"] if arguments.recover else [])],
        run=arguments.name,
        compiled=arguments.compile,
        captured=arguments.capture,
        sweep=parse_sweep(arguments.sweep) if arguments.sweep else None,
        on_test_set=arguments.on_test_set,
    )


@program("stopped; finished sequences are kept, and the same command goes on with the rest")
def main() -> int:
    """0 if every sequence was tracked and scored, or is left to other commands, 1 if any was not or after an error,
    130 after Ctrl-C, 143 after SIGTERM."""
    arguments = parse_arguments()
    part = has_launcher()  # a process that only tracks, and for which its launcher speaks
    set_up_logging(rank=int(os.environ.get("RANK", "0")), quiet=part)
    with terminated_like_interrupted():
        evaluation = evaluate(arguments)
    if evaluation is None:
        return 0
    show(evaluation.text)
    return 0 if evaluation.complete else 1


if __name__ == "__main__":
    sys.exit(main())
