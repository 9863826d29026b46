"""Archives for the servers of GOT-10k and TrackingNet: make one from results, or check one that is there.

python tracking/submit.py got10k_test --tracker grm_vitb_got10k --out grm.zip
python tracking/submit.py trackingnet --tracker others/raw_results.zip --out others_trackingnet.zip
python tracking/submit.py trackingnet --check others_trackingnet.zip
"""

from __future__ import annotations

import argparse
import sys

from lib.runtime.program import program, starting

with starting():
    from lib.config.paths import Paths, load_paths, user_path
    from lib.evaluation.benchmarks import BENCHMARKS
    from lib.evaluation.results.submission import check_submission, expected_sequences, find_results, make_submission
    from lib.runtime.escapes import show
    from lib.runtime.logs import set_up_logging


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmark", help="got10k_test or trackingnet")
    parser.add_argument("--tracker", help="results: path of a folder or zip, or a name below the output folder")
    parser.add_argument("--out", type=user_path, metavar="FILE", help="archive to write")
    parser.add_argument("--check", type=user_path, metavar="FILE", help="archive to check instead of making one")
    parser.add_argument("--paths", type=user_path, help="file instead of paths.yaml")
    arguments = parser.parse_args()
    if bool(arguments.check) == bool(arguments.tracker) or bool(arguments.tracker) != bool(arguments.out):
        parser.error("name --tracker and --out to make an archive, or --check alone")
    return arguments


def submit(arguments: argparse.Namespace, paths: Paths) -> int:
    """Do what the arguments say and print the table; 0 if the archive is fit to be sent."""
    benchmark = arguments.benchmark
    expected = expected_sequences(benchmark, paths)
    if arguments.check:
        check = check_submission(arguments.check, benchmark, expected)
    else:
        check = make_submission(find_results(paths.output, benchmark, arguments.tracker), expected, arguments.out)
    show(check.text())
    if arguments.out:
        server = BENCHMARKS[benchmark].server
        show(f"{arguments.out}: written, for {server}" if check.good else f"{arguments.out}: not written")
    return 0 if check.good else 1


@program("stopped; no archive was written")
def main() -> int:
    """0 if the archive was written, or the one checked is fit to be sent; 1 if not or after an error, 130 after
    Ctrl-C."""
    arguments = parse_arguments()
    set_up_logging()
    return submit(arguments, load_paths(arguments.paths))


if __name__ == "__main__":
    sys.exit(main())
