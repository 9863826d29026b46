"""A tracker for the VOT toolkit. Print its section of trackers.ini with
python tracking/vot.py --config grm_vitb --checkpoint FILE --print-ini >> trackers.ini
The toolkit then starts the printed command, and this program answers it over TraX."""

import sys
from pathlib import Path

from lib.runtime.program import Result, program, starting

with starting():
    from lib.programs.arguments import Parser
    from lib.programs.vot_toolkit import run_vot


@program()
def main() -> Result:
    """0 after a session that the toolkit ended, or when the section is printed; 1 after an error, 130 after Ctrl-C."""
    parser = Parser(__doc__)
    parser.checkpoint()
    parser.config()
    add = parser.add_argument
    add("--dataset", help="benchmark whose test-time values hold: vot18, vot20, vot22; without it, none")
    parser.device()
    add("--print-ini", action="store_true", help="check everything, print the section, and end")
    add("--identifier", help="name of the section, if it is not the experiment's")
    parser.overrides()
    return run_vot(Path(__file__), **parser.parse())


if __name__ == "__main__":
    sys.exit(main())
