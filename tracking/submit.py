"""Make an archive for the server of GOT-10k or TrackingNet from results, or check one.

python tracking/submit.py got10k_test --tracker grm_vitb_got10k --out grm.zip
python tracking/submit.py trackingnet --tracker others/raw_results.zip --out others_trackingnet.zip
python tracking/submit.py trackingnet --check others_trackingnet.zip
"""

import sys

from lib.runtime.program import Result, program, starting

with starting():
    from lib.config.paths import user_path
    from lib.programs.arguments import Parser
    from lib.programs.submission import submit


@program("stopped; no archive was written")
def main() -> Result:
    """0 if the archive was written, or the checked one is fit to be sent; else 1."""
    parser = Parser(__doc__)
    parser.add_argument("benchmark", help="got10k_test or trackingnet")
    parser.add_argument("--tracker", help="results: path of a folder or zip, or a name below the output folder")
    parser.add_argument("--out", type=user_path, metavar="FILE", help="archive to write")
    parser.add_argument("--check", type=user_path, metavar="FILE", help="archive to check instead of making one")
    parser.paths()
    return submit(**parser.parse())


if __name__ == "__main__":
    sys.exit(main())
