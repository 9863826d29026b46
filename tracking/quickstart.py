"""Train grm_tiny on a synthetic set and test it beside three baselines: python tracking/quickstart.py [--seed 1]"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from lib.config.paths import load_paths
from lib.experiment.quickstart import run_quickstart
from lib.runtime.launch import launch
from lib.runtime.logs import set_up_logging

TRAIN = Path(__file__).with_name("train.py")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=42, help="of weights, samples and noise; the set stays the same")
    parser.add_argument("--data", type=Path, help="where the set lies or is written (default: synthetic in the output)")
    parser.add_argument("--name", help="name of the output folder (default: quickstart_SEED)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="for writing and testing")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values of the configuration")
    return parser.parse_intermixed_args()


def main() -> int:
    """0 if all went well, 130 or 143 if stopped, 1 after an error."""
    arguments = parse_arguments()
    set_up_logging()
    try:
        paths = load_paths()
        end = run_quickstart(
            paths,
            data=arguments.data or paths.output / "synthetic",
            run=arguments.name or f"quickstart_{arguments.seed}",
            overrides=(*arguments.overrides, f"seed={arguments.seed}"),
            processes=arguments.processes,
            train=lambda words: launch(min(arguments.processes, 2), [str(TRAIN), *words]),
        )
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what is finished is kept, and the same command goes on with the rest", file=sys.stderr)
        return 130
    print(end.text)
    return end.exit_code


if __name__ == "__main__":
    sys.exit(main())
