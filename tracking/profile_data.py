"""Measure the speed of making training samples, from each store and with each decoder, beside the straightforward way:
python tracking/profile_data.py [--seconds 10] [--json FILE]"""

import sys

from lib.runtime.program import program, starting

with starting():
    from lib.config.paths import user_path
    from lib.data.sampling import MIN_FRAMES
    from lib.profiling.footage import FOOTAGE_QUALITY
    from lib.profiling.samples import profile_samples
    from lib.programs.arguments import Parser, at_least
    from lib.runtime.escapes import show


@program("stopped; the temporary data are removed")
def main() -> int:
    """0 once all is measured, 1 after an error, 130 after Ctrl-C, 143 after SIGTERM."""
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--seconds", type=at_least(0.01, float), default=10.0, help="of measuring the straightforward way (10)")
    add("--sequences", type=at_least(1), default=12, help="number of videos (12)")
    add("--frames", type=at_least(MIN_FRAMES), default=30, help="frames of each (30)")
    add("--quality", type=int, choices=range(1, 101), metavar="1-100", default=FOOTAGE_QUALITY, help="of the JPEGs")
    add("--folder", type=user_path, help="parent of the temporary data, on the disk to measure")
    add("--json", type=user_path, metavar="FILE", help="write the tables to this file, too")
    arguments = parser.parse()
    file = arguments.pop("json")
    report = profile_samples(**arguments)
    show(report.text())  # before anything can go wrong with the file
    if file:
        report.write(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
