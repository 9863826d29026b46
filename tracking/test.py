"""Test trackers on a benchmark and score them:
python tracking/test.py --config grm_vitb --dataset got10k_val [--checkpoint FILE ...] [section.key=value ...]
python tracking/test.py --network FOLDER --dataset got10k_val"""

import sys

from lib.runtime.program import Result, program, starting

with starting():
    from lib.config.paths import user_path
    from lib.programs.arguments import Parser, at_least
    from lib.programs.testing import run_test


@program("stopped; finished sequences are kept, and the same command goes on with the rest")
def main() -> Result:
    """0 if every sequence was tracked and scored, or is left to other commands, 1 if any was not or after an error,
    130 after Ctrl-C, 143 after SIGTERM."""
    parser = Parser(__doc__)
    add = parser.add_argument
    parser.config()
    add("--name", help="name of the run in the output folder, if it is not the experiment's")
    add("--dataset", required=True, help="benchmark: got10k_val, got10k_test ...")
    add("--sequence", action="append", default=[], help="only this sequence (may be repeated)")
    add(
        "--checkpoint", type=user_path, action="append", default=[],
        help="weights, of a run or as their authors released them (may be repeated); without it, the run's "
        "last.pth, else the weights that the experiment names",
    )  # fmt: skip
    add(
        "--network", type=user_path, action="append", default=[],
        help="folder of an exported network instead of an experiment (may be repeated); it runs without torch",
    )  # fmt: skip
    add("--sweep", metavar="KEY=VALUES", help="test each value: key=start:stop:step or key=a,b,c")
    add("--on-test-set", action="store_true", help="allow --sweep on a test set; reports will state it")
    add(
        "--processes", type=at_least(0), default=1,
        help="processes that share the sequences, with those of other commands on the same; 0 or 1: within the program",
    )  # fmt: skip
    add("--batch", type=at_least(1), help="sequences in a batch (default: the network's own for the device)")
    add("--compile", action="store_true", help="run the network through torch.compile")
    add("--capture", action="store_true", help="run the network as a captured graph (CUDA)")
    add(
        "--recover", action="store_true",
        help="search for lost targets over the whole image (docs/confidence.md), with results in a folder of their own",
    )  # fmt: skip
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N; under auto and cuda, processes take GPUs in turn")
    add(
        "--legacy-int", action="store_true",
        help="write boxes as truncated integers too, to <results>/legacy_int, for tools that read pytracking's files",
    )  # fmt: skip
    parser.paths()
    parser.overrides()
    return run_test(**parser.parse())


if __name__ == "__main__":
    sys.exit(main())
