"""Compare trackers on benchmarks, from our results and from others' raw results:
python tracking/analysis_results.py --dataset lasot uav --tracker grm_vitb OSTrack=path/to/raw [--protocol all]"""

import sys

from lib.runtime.program import Result, program, starting

with starting():
    from lib.config.paths import user_path
    from lib.evaluation.reports.bootstrap import Bootstrap
    from lib.evaluation.reports.tables import TABLE_FORMATS
    from lib.programs.analysis import JSON, analyze
    from lib.programs.arguments import Parser, at_least


@program()
def main() -> Result:
    """0 if everything was scored, 1 if a result is missing or a protocol could not score one, 2 for a wrong request."""
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--dataset", nargs="+", required=True, help="benchmarks: lasot uav otb nfs got10k_val ...")
    add(
        "--tracker", nargs="+", action="extend", required=True, metavar="[LABEL=]WHAT",
        help="a name to search the output folder for, or a folder or zip of raw results ({dataset} in it becomes the "
        "benchmark's name); results with the same LABEL (seeds, epochs) are one tracker with mean and deviation",
    )  # fmt: skip
    add("--protocol", nargs="+", default=[], help="protocols, or all; each benchmark's own unless given")
    add("--scores", nargs="+", default=[], help="only these: AUC P Pnorm OP50 OP75 AO SR0.5 SR0.75")
    add("--format", default="text", choices=(*TABLE_FORMATS, JSON), help="format of the printed report")
    add("--digits", type=int, choices=range(7), default=1, help="decimals of percent")
    add("--out", type=user_path, metavar="FOLDER", help="write every table here, in every format")
    add("--plots", action="store_true", help="curves and radar plots as PDF and PNG in --out")
    add("--video", action="store_true", help="the worst and best sequences as videos in --out")
    add("--html", type=user_path, metavar="FILE", help="write one page with everything")
    add(
        "--pictures", action="store_true",
        help="on the page, the decisions of our networks behind the worst frames (docs/visualize.md)",
    )  # fmt: skip
    add("--per-attribute", action="store_true", help="scores over the sequences with each attribute")
    add(
        "--confidence", action="store_true",
        help="how trackers' scores relate to their boxes, and the best test.tracker.lost_below (docs/confidence.md)",
    )  # fmt: skip
    add(
        "--attributes", action="append", default=[], metavar="[DATASET=]FILE",
        help="a file of attributes of your own (docs/analysis.md)",
    )  # fmt: skip
    add("--per-sequence", nargs=2, metavar=("LABEL", "LABEL"), help="sequences by the difference of two trackers")
    add(
        "--bootstrap", type=at_least(1), nargs="?", const=Bootstrap().times, metavar="N",
        help="95 %% confidence intervals over sequences, of N drawn sets (1000)",
    )  # fmt: skip
    add("--seed", type=at_least(0), default=Bootstrap().seed, help="seed of the bootstrap")
    parser.paths()
    return analyze(**parser.parse())


if __name__ == "__main__":
    sys.exit(main())
