"""Track targets in your own video: python tracking/track.py VIDEO --box x,y,w,h [--box name=x,y,w,h@frame ...]
VIDEO is a file, a folder of images, the number of a camera, or an address (rtsp://, http://)."""

import sys

from lib.runtime.program import Result, program, starting

with starting():
    from lib.config.paths import user_path
    from lib.programs.arguments import Parser, at_least
    from lib.programs.tracking import GRAMMAR, run_track


@program()
def main() -> Result:
    """0 at the end of the video, 130 or 143 if stopped before, with files until then; 1 after an error."""
    parser = Parser(__doc__)
    add = parser.add_argument
    add("video", help="a file, a folder of images, the number of a camera, or an address")
    help_of_box = f"a target, in pixels from the top left corner: {GRAMMAR} (may be repeated)"
    add("--box", action="append", default=[], metavar="TARGET", help=help_of_box)
    add("--boxes", type=user_path, action="append", default=[], metavar="FILE", help="text file with a target a line")
    add("--select", action="store_true", help="draw targets on the first frame, in a window")
    add("--config", help="name in experiments/ or path; without it, the checkpoint's own, or lite")
    parser.checkpoint()
    add("--network", type=user_path, help="folder of an exported network instead; runs without torch")
    add("--recover", action="store_true", help="search for lost targets over the whole image")
    parser.device()
    add("--threads", type=at_least(1), help="CPU threads of the network (default: as many as cores)")
    add("--out", type=user_path, metavar="FOLDER", help="default: track/<video's name> in the output folder")
    add("--force", action="store_true", help="replace files that exist")
    add("--text", action="store_true", help="write <target>.txt too: x,y,w,h for each frame")
    add("--no-video", action="store_true", help="write no tracked.mp4")
    add("--show", action="store_true", help="show the frames in a window while they are tracked")
    parser.paths()
    parser.overrides()
    return run_track(**parser.parse())


if __name__ == "__main__":
    sys.exit(main())
