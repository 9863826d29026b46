"""Train a tiny network on a synthetic set, test it beside three baselines: python tracking/quickstart.py [--seed 1]"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from lib.runtime.program import program, starting

with starting():
    from lib.config.paths import load_paths, user_path
    from lib.programs.quickstart import run_quickstart
    from lib.runtime.escapes import show
    from lib.runtime.launch import has_launcher, launch
    from lib.runtime.locks import only_writer
    from lib.runtime.logs import set_up_logging
    from lib.runtime.stop import terminated_like_interrupted

TRAIN = Path(__file__).with_name("train.py")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--config", default="grm_tiny", help="a family's tiny twin, such as transt_tiny (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=42, help="of weights, samples and noise; the set stays the same")
    parser.add_argument("--data", type=user_path, help="folder in GOT-10k's layout instead of the synthetic set")
    parser.add_argument("--name", help="name of the output folder (default: quickstart_CONFIG_SEED)")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="for writing, testing and (two at most) training"
    )
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values of the configuration")
    arguments = parser.parse_intermixed_args()
    if arguments.processes < 1:
        parser.error("--processes must be 1 or more")
    return arguments


def train(processes: int, words: list[str], variables: dict[str, str]) -> int:
    """Run train.py; the variables decide where data and output lie, whatever paths.yaml says."""
    os.environ.update(variables)
    return launch(processes, [str(TRAIN), *words])


@program("stopped; what is finished is kept, and the same command goes on with the rest")
def main() -> int:
    """0 if all went well, 130 or 143 if stopped, 1 after an error."""
    arguments = parse_arguments()
    part = has_launcher()  # a process that only tracks, and for which its launcher speaks
    set_up_logging(rank=int(os.environ.get("RANK", "0")), quiet=part)
    paths = load_paths()
    run = arguments.name or f"quickstart_{Path(arguments.config).stem}_{arguments.seed}"
    folder = paths.output / run
    with terminated_like_interrupted(), nullcontext() if part else only_writer(folder, folder / ".quickstart.lock"):
        end = run_quickstart(
            paths,
            data=arguments.data,
            config=arguments.config,
            run=run,
            overrides=(*arguments.overrides, f"seed={arguments.seed}"),
            processes=arguments.processes,
            command=[__file__, *sys.argv[1:]],
            train=partial(train, min(arguments.processes, 2)),
        )
    if not part:
        show(end.text)
    return end.exit_code


if __name__ == "__main__":
    sys.exit(main())
