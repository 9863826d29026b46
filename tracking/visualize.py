"""Draw what a network decides on frames of a video: python tracking/visualize.py VIDEO --box x,y,w,h --frames 1,10,50
or of a benchmark's sequence: python tracking/visualize.py --dataset got10k_val --sequence NAME --frames 10:100:10"""

from __future__ import annotations

import argparse
import sys

from lib.runtime.program import program, starting

with starting():
    from lib.config.paths import load_paths, user_path
    from lib.inference.follow import TargetSpec
    from lib.inference.tracker import Tracker
    from lib.programs.chosen import build_chosen
    from lib.programs.tracking import GRAMMAR, SHIPPED, output_folder, parse_targets
    from lib.programs.visualizing import FRAMES, Shown, open_footage, parse_frames, visualize
    from lib.runtime.escapes import show
    from lib.runtime.logs import set_up_logging


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--dataset", help="benchmark, in place of a video: got10k_val, lasot ...")
    parser.add_argument("--sequence", help="of the benchmark")
    parser.add_argument("--box", metavar="TARGET", help=f"the target: {GRAMMAR}; a sequence has its own")
    parser.add_argument("--frames", required=True, help=FRAMES)
    parser.add_argument("--maps", nargs="+", default=[], help="only these: scores, attention, division ...")
    parser.add_argument("--video", action="store_true", help="write a video in place of a sheet")
    parser.add_argument("--config", help="name in experiments/ or path; without it, the checkpoint's own, or lite")
    parser.add_argument("--checkpoint", type=user_path, help="weights; without it, those of the experiment")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--out", type=user_path, metavar="FOLDER", help="default: visualize/<name> in the output")
    parser.add_argument("--paths", type=user_path, help="file instead of paths.yaml")
    parser.add_argument(
        "words", nargs="*", metavar="VIDEO | section.key=value",
        help="a file, a folder of images, the number of a camera, or an address, but not with --dataset; then values "
        "of the configuration",
    )  # fmt: skip
    arguments = parser.parse_intermixed_args()
    if bool(arguments.dataset) != bool(arguments.sequence):
        parser.error("--dataset and --sequence go together")
    if not arguments.dataset and not (arguments.words and arguments.box):
        parser.error(f"name a video and its target with --box {GRAMMAR}, or --dataset and --sequence")
    return arguments


@program()
def main() -> int:
    """0, or 1 after an error."""
    arguments = parse_arguments()
    set_up_logging()
    paths = load_paths(arguments.paths)
    shown = Shown(parse_frames(arguments.frames), tuple(arguments.maps), arguments.video)
    targets = parse_targets([arguments.box] if arguments.box else [])
    video, *overrides = [None, *arguments.words] if arguments.dataset else arguments.words
    config = arguments.config or (None if arguments.checkpoint else SHIPPED)
    network = build_chosen(
        paths, config, arguments.checkpoint, arguments.device, overrides=overrides, dataset=arguments.dataset
    )
    with open_footage(paths, video, arguments.dataset, arguments.sequence) as footage:
        target = targets[0] if targets else TargetSpec("target", footage.boxes[0])
        folder = output_folder(paths, arguments.sequence or video, arguments.out, "visualize")
        show(str(visualize(footage, target, Tracker(network), shown, folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
