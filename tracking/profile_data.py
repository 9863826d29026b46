"""Measure the speed of making training samples, from each store and with each decoder, beside the straightforward way:
python tracking/profile_data.py [--seconds 10] [--json FILE]; with --index, of opening TrackingNet's annotations."""

from __future__ import annotations

import argparse
import sys

from lib.runtime.program import program, starting

with starting():
    from lib.config.paths import user_path
    from lib.data.sampling import MIN_FRAMES
    from lib.profiling.samples import profile_index, profile_samples
    from lib.profiling.simulation import TRACKINGNET_VIDEOS
    from lib.profiling.textures import JPEG_QUALITY
    from lib.runtime.escapes import show


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of measuring the straightforward way")
    parser.add_argument("--sequences", type=int, default=12, help="number of synthetic videos")
    parser.add_argument("--frames", type=int, default=30, help=f"frames of each, {MIN_FRAMES} or more")
    parser.add_argument("--quality", type=int, default=JPEG_QUALITY, help="of the JPEGs: the higher, the larger")
    parser.add_argument(
        "--index", type=int, nargs="?", const=TRACKINGNET_VIDEOS, metavar="VIDEOS",
        help=f"measure the index of a simulated TrackingNet instead ({TRACKINGNET_VIDEOS} videos by default)",
    )  # fmt: skip
    parser.add_argument("--folder", type=user_path, help="parent of the temporary data, on the disk to measure")
    parser.add_argument("--json", type=user_path, metavar="FILE", help="write the tables to this file, too")
    arguments = parser.parse_args()
    if arguments.seconds <= 0 or arguments.sequences < 1 or arguments.frames < MIN_FRAMES:
        parser.error(f"--seconds must be above 0, --sequences 1 or more and --frames {MIN_FRAMES} or more")
    if not 1 <= arguments.quality <= 100:
        parser.error("--quality must be from 1 to 100")
    if arguments.index is not None and arguments.index < 1:
        parser.error("--index must be 1 or more")
    return arguments


@program("stopped; the temporary data are removed")
def main() -> int:
    """0 once all is measured, 1 after an error, 130 after Ctrl-C."""
    arguments = parse_arguments()
    if arguments.index:
        report = profile_index(arguments.folder, videos=arguments.index)
    else:
        report = profile_samples(
            arguments.folder,
            seconds=arguments.seconds,
            sequences=arguments.sequences,
            frames=arguments.frames,
            quality=arguments.quality,
        )
    show(report.text())
    if arguments.json:
        report.write(arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
