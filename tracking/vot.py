"""A tracker for the VOT toolkit. What it should put into trackers.ini:
python tracking/vot.py --config grm_vitb --checkpoint FILE --print-ini >> trackers.ini
The toolkit then starts the printed command, and this program answers it over TraX."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lib.runtime.program import program, starting

with starting():
    from lib.config.paths import user_path
    from lib.programs.vot_toolkit import TrackerChoice, serve, trackers_ini
    from lib.runtime.escapes import show
    from lib.runtime.logs import set_up_logging


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--checkpoint", type=user_path,
        help="weights; without it, the run's last.pth, else the weights that the experiment names",
    )  # fmt: skip
    parser.add_argument("--config", help="name in experiments/ or path; without it, the checkpoint's own configuration")
    parser.add_argument(
        "--dataset", help="benchmark whose test-time values hold: vot18, vot20, vot22; without it, none"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--print-ini", action="store_true", help="check everything, print the section, and end")
    parser.add_argument("--identifier", help="name of the section, if it is not the experiment's")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values of the configuration")
    arguments = parser.parse_intermixed_args()
    if not (arguments.config or arguments.checkpoint):
        parser.error("name --config, --checkpoint or both")
    if not arguments.print_ini and sys.stdin.isatty():
        parser.error(
            "the VOT toolkit starts this program and talks to it; for what to tell the toolkit add --print-ini"
        )
    return arguments


@program()
def main() -> int:
    """0 after a session that the toolkit ended, or when the section is printed; 1 after an error, 130 after Ctrl-C."""
    arguments = parse_arguments()
    set_up_logging()
    choice = TrackerChoice(
        arguments.checkpoint, arguments.config, arguments.dataset, arguments.device, tuple(arguments.overrides)
    )
    if arguments.print_ini:
        show(trackers_ini(choice, Path(__file__), arguments.identifier), end="")
    else:
        serve(choice.build(), choice.experiment.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
