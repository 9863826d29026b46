"""Train an experiment: python tracking/train.py --config grm_vitb [--nproc 8] [section.key=value ...]"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import nullcontext

from lib.runtime.program import program, starting

with starting():
    from lib.config.paths import load_paths, user_path
    from lib.experiment.build import build_trainer, check_files, check_workers, load_experiment, run_folder
    from lib.runtime.launch import launch
    from lib.runtime.locks import only_writer
    from lib.runtime.logs import set_up_logging
    from lib.runtime.process import start_process, stop_process


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--config", required=True, help="name in experiments/ or path of a YAML file")
    parser.add_argument("--name", help="name of the output folder, if it should not be the experiment's")
    parser.add_argument("--nproc", type=int, default=1, help="processes on this machine, which this program starts")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--overfit", action="store_true", help="train on the first batch alone, as a smoke run")
    parser.add_argument("--paths", type=user_path, help="file instead of paths.yaml")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values of the configuration")
    arguments = parser.parse_intermixed_args()
    if arguments.nproc < 1:
        parser.error("--nproc must be 1 or more")
    if arguments.nproc > 1 and "WORLD_SIZE" in os.environ:
        parser.error("--nproc starts the processes itself; leave it out under torchrun")
    return arguments


@program("stopped before the first step")
def main() -> int:
    """0 if training ended, 130 or 143 if it was stopped, 1 after an error, told in a line for each fault."""
    arguments = parse_arguments()
    rank, world, local = (int(os.environ.get(name, 0)) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    set_up_logging(rank=rank)
    experiment = load_experiment(arguments.config, arguments.overrides, arguments.name)
    paths = load_paths(arguments.paths)
    check_files(experiment, paths)
    check_workers(experiment, world or arguments.nproc, local or arguments.nproc)
    if arguments.nproc > 1:
        words = iter(sys.argv[1:])
        passed = [word for word in words if not (word == "--nproc" and next(words)) and "--nproc=" not in word]
        return launch(arguments.nproc, [__file__, *passed])
    folder = run_folder(experiment, paths, arguments.overfit)
    remedy = "wait for it, end it, or give this run a folder of its own with --name"
    with nullcontext() if rank else only_writer(folder, folder / ".lock", remedy):  # before a GPU is touched
        process = start_process(arguments.device)
        try:
            return build_trainer(experiment, paths, process, arguments.overfit).run().exit_code
        finally:
            stop_process()


if __name__ == "__main__":
    sys.exit(main())
