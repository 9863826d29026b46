"""Track targets in your own video: python tracking/track.py VIDEO --box x,y,w,h [--box name=x,y,w,h@frame ...]
VIDEO is a file, a folder of images, the number of a camera, or an address (rtsp://, http://)."""

from __future__ import annotations

import argparse
import sys

from lib.runtime.program import program, starting

with starting():
    from lib.config.paths import load_paths, user_path
    from lib.programs.tracking import (
        GRAMMAR,
        Wanted,
        open_tracking_network,
        output_folder,
        parse_targets,
        track_video,
    )
    from lib.runtime.escapes import show
    from lib.runtime.logs import set_up_logging


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("video", help="a file, a folder of images, the number of a camera, or an address")
    parser.add_argument(
        "--box", action="append", default=[], metavar="TARGET",
        help=f"a target, in pixels from the top left corner: {GRAMMAR} (may be repeated)",
    )  # fmt: skip
    parser.add_argument(
        "--boxes", type=user_path, action="append", default=[], metavar="FILE", help="text file with a target a line"
    )
    parser.add_argument("--select", action="store_true", help="draw targets on the first frame, in a window")
    parser.add_argument("--config", help="name in experiments/ or path; without it, the checkpoint's own, or lite")
    parser.add_argument("--checkpoint", type=user_path, help="weights; without it, those of the experiment")
    parser.add_argument("--network", type=user_path, help="folder of an exported network instead; runs without torch")
    parser.add_argument("--recover", action="store_true", help="search for lost targets over the whole image")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=int, help="of the processor for the network (default: as many as it has)")
    parser.add_argument("--out", type=user_path, metavar="FOLDER", help="default: track/<video's name> in the output")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    parser.add_argument("--text", action="store_true", help="write <target>.txt too: x,y,w,h for each frame")
    parser.add_argument("--no-video", action="store_true", help="write no tracked.mp4")
    parser.add_argument("--show", action="store_true", help="show the frames in a window while they are tracked")
    parser.add_argument("--paths", type=user_path, help="file instead of paths.yaml")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values of the configuration")
    arguments = parser.parse_intermixed_args()
    if not (arguments.box or arguments.boxes or arguments.select):
        parser.error(f"name a target with --box {GRAMMAR}; or add --select and draw it")
    if arguments.network and (arguments.config or arguments.checkpoint or arguments.overrides):
        parser.error("--network has its settings with it; leave out --config, --checkpoint and overrides")
    if arguments.threads is not None and arguments.threads < 1:
        parser.error("--threads must be 1 or more")
    return arguments


@program()
def main() -> int:
    """0 at the end of the video, 130 or 143 if stopped before, with what was tracked; 1 after an error."""
    arguments = parse_arguments()
    set_up_logging()
    paths = load_paths(arguments.paths)
    targets = parse_targets(arguments.box, arguments.boxes)
    wanted = Wanted(
        output_folder(paths, arguments.video, arguments.out),
        video=not arguments.no_video,
        text=arguments.text,
        replace=arguments.force,
        show=arguments.show,
    )
    network = open_tracking_network(
        config=arguments.config,
        checkpoint=arguments.checkpoint,
        network=arguments.network,
        device=arguments.device,
        threads=arguments.threads,
        overrides=arguments.overrides,
        paths=paths,
        recover=arguments.recover,
    )
    end = track_video(arguments.video, targets, network, wanted, arguments.select)
    show(end.text)
    return 128 + end.signal if end.signal else 0


if __name__ == "__main__":
    sys.exit(main())
