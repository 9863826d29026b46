"""Train a tiny network on a synthetic set, test it beside three baselines: python tracking/quickstart.py [--seed 1]"""

import os
import sys

from lib.runtime.program import Result, program, starting

with starting():
    from lib.config.paths import load_paths, user_path
    from lib.programs.arguments import Parser, at_least
    from lib.programs.quickstart import run_quickstart


@program("stopped; the finished part is kept, and the same command goes on with the rest")
def main() -> Result:
    """0 if all went well, 130 or 143 if stopped, 1 after an error."""
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--config", default="grm_tiny", help="a family's tiny twin, such as transt_tiny (default: %(default)s)")
    add("--seed", type=int, default=42, help="of weights, samples and noise; the set stays the same")
    add("--data", type=user_path, help="folder in GOT-10k's layout instead of the synthetic set")
    add("--name", help="name of the output folder (default: quickstart_CONFIG_SEED)")
    add(
        "--processes", type=at_least(1), default=os.cpu_count() or 1,
        help="for writing, testing and (two at most) training",
    )  # fmt: skip
    parser.overrides()
    return run_quickstart(load_paths(), **parser.parse())


if __name__ == "__main__":
    sys.exit(main())
