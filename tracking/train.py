"""Train an experiment: python tracking/train.py --config grm_vitb [--nproc 8] [section.key=value ...]"""

import sys

from lib.runtime.program import program, starting

with starting():
    from lib.programs.arguments import Parser, at_least
    from lib.programs.training import train


@program("stopped before the first step")
def main() -> int:
    """0 if training ended, 130 or 143 if it was stopped, 1 after an error, with a line for each fault."""
    parser = Parser(__doc__)
    parser.config(required=True)
    parser.add_argument("--name", help="name of the output folder, if it should not be the experiment's")
    parser.add_argument("--nproc", type=at_least(1), default=1, help="processes to start on this machine")
    parser.device()
    parser.add_argument("--overfit", action="store_true", help="train on the first batch alone, as a smoke run")
    parser.paths()
    parser.overrides()
    return train(**parser.parse())


if __name__ == "__main__":
    sys.exit(main())
