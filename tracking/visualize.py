"""Draw what a network decides on frames of a video: python tracking/visualize.py VIDEO --box x,y,w,h --frames 1,10,50
or of a benchmark's sequence: python tracking/visualize.py --dataset got10k_val --sequence NAME --frames 10:100:10"""

import sys

from lib.runtime.program import Result, program, starting

with starting():
    from lib.config.paths import user_path
    from lib.programs.arguments import Parser
    from lib.programs.tracking import GRAMMAR
    from lib.programs.visualization import FRAMES_GRAMMAR, run_visualize


@program()
def main() -> Result:
    """0, 1 after an error, or 2 for arguments that do not go together."""
    parser = Parser(__doc__)
    add = parser.add_argument
    add("--dataset", help="benchmark, in place of a video: got10k_val, lasot ...")
    add("--sequence", help="of the benchmark")
    add("--box", metavar="TARGET", help=f"the target: {GRAMMAR}; a sequence has its own")
    add("--frames", required=True, help=FRAMES_GRAMMAR)
    add("--maps", nargs="+", default=[], help="only these: scores, attention, division ...")
    add("--video", action="store_true", help="write a video in place of a sheet")
    add("--config", help="name in experiments/ or path; without it, the checkpoint's own, or lite")
    parser.checkpoint()
    parser.device()
    add("--out", type=user_path, metavar="FOLDER", help="default: visualize/<name> in the output folder")
    parser.paths()
    add(
        "words", nargs="*", metavar="VIDEO | section.key=value",
        help="a file, a folder of images, the number of a camera, or an address, but not with --dataset; then values "
        "of the configuration",
    )  # fmt: skip
    return run_visualize(**parser.parse())


if __name__ == "__main__":
    sys.exit(main())
