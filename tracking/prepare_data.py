"""Prepare datasets. synthetic: write a small tracking set in GOT-10k's layout, for which nothing has to be downloaded:
python tracking/prepare_data.py synthetic --root data/synthetic"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from lib.data.synthetic import write_synthetic


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    tasks = parser.add_subparsers(dest="task", required=True)
    synthetic = tasks.add_parser(
        "synthetic",
        help="write a synthetic set; one that is there already is left as it is",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    count = _at_least(1)
    synthetic.add_argument("--root", type=Path, required=True, help="folder to write, with train/ and val/ in it")
    synthetic.add_argument("--train", type=count, default=480, help="sequences of the train split")
    synthetic.add_argument("--val", type=count, default=32, help="sequences of the val split")
    synthetic.add_argument("--frames", type=count, default=24, help="frames of a train sequence")
    synthetic.add_argument("--val-frames", type=count, default=60, help="frames of a val sequence")
    synthetic.add_argument("--seed", type=_at_least(0), default=0, help="another seed is another set")
    synthetic.add_argument("--processes", type=count, default=os.cpu_count() or 1, help="processes that draw sequences")
    return parser.parse_args()


def _at_least(bound: int) -> Callable[[str], int]:
    """A whole number of an argument, refused below the bound."""

    def number(text: str) -> int:
        if int(text) < bound:
            raise argparse.ArgumentTypeError(f"{text} is below {bound}")
        return int(text)

    return number


def main() -> int:
    """0, or 1 if the set cannot be written."""
    arguments = parse_arguments()
    try:
        written = write_synthetic(
            arguments.root,
            train=arguments.train,
            val=arguments.val,
            frames=arguments.frames,
            val_frames=arguments.val_frames,
            seed=arguments.seed,
            processes=arguments.processes,
        )
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.root}: {'written' if written else 'there already, left as it is'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
