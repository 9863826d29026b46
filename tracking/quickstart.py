"""Train a tiny network on a synthetic set, test it beside three baselines: python tracking/quickstart.py [--seed 1]"""

import os
import sys
from pathlib import Path

from lib.runtime.program import Result, program, starting

with starting():
    from lib.config.paths import load_paths, user_path
    from lib.programs.arguments import Parser, at_least
    from lib.programs.quickstart import run_quickstart
    from lib.runtime.launch import launch
    from lib.runtime.locks import only_writer
    from lib.runtime.stop import terminated_like_interrupted

TRAIN = Path(__file__).with_name("train.py")


@program("stopped; the finished part is kept, and the same command goes on with the rest")
def main() -> Result:
    """0 if all went well, 130 or 143 if stopped, 1 after an error."""
    parser = Parser(__doc__)
    parser.add_argument(
        "--config", default="grm_tiny", help="a family's tiny twin, such as transt_tiny (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=42, help="of weights, samples and noise; the set stays the same")
    parser.add_argument("--data", type=user_path, help="folder in GOT-10k's layout instead of the synthetic set")
    parser.add_argument("--name", help="name of the output folder (default: quickstart_CONFIG_SEED)")
    parser.add_argument(
        "--processes", type=at_least(1), default=os.cpu_count() or 1,
        help="for writing, testing and (two at most) training",
    )  # fmt: skip
    parser.overrides()
    arguments = parser.parse_intermixed_args()

    def train(words: list[str], variables: dict[str, str]) -> int:
        os.environ.update(variables)
        return launch(min(arguments.processes, 2), [str(TRAIN), *words])

    paths = load_paths()
    run = arguments.name or f"quickstart_{Path(arguments.config).stem}_{arguments.seed}"
    folder = paths.output / run
    with terminated_like_interrupted(), only_writer(folder, folder / ".quickstart.lock"):
        return run_quickstart(
            paths,
            data=arguments.data,
            config=arguments.config,
            run=run,
            overrides=(*arguments.overrides, f"seed={arguments.seed}"),
            processes=arguments.processes,
            train=train,
        )


if __name__ == "__main__":
    sys.exit(main())
