"""Count what networks cost and time them, alone and end to end:
python tracking/profile_model.py --config grm_vitb [--config ...] [--frames 0] [section.key=value ...]"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lib.experiment.costs import profile_models
from lib.runtime.logs import set_up_logging


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--config", action="append", default=[], metavar="NAME",
        help="name in experiments/ or path (may be repeated); without it, every experiment",
    )  # fmt: skip
    parser.add_argument("--frames", type=int, default=50, help="that are timed; 0: only count")
    parser.add_argument("--warmup", type=int, default=5, help="frames before those that are timed")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of the network")
    parser.add_argument("--threads", type=int, help="of the processor; without it, as many as torch takes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured to this file, too")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values of the configuration")
    arguments = parser.parse_intermixed_args()
    if arguments.frames < 0 or arguments.warmup < 0:
        parser.error("--frames and --warmup must be 0 or more")
    if arguments.threads is not None and arguments.threads < 1:
        parser.error("--threads must be 1 or more")
    return arguments


def main() -> int:
    """0 once all is measured, 1 after an error, 130 after Ctrl-C."""
    arguments = parse_arguments()
    set_up_logging()
    try:
        report = profile_models(
            arguments.config,
            arguments.overrides,
            device=arguments.device,
            frames=arguments.frames,
            warmup=arguments.warmup,
            precision=arguments.precision,
            threads=arguments.threads,
        )
        print(report.text())
        if arguments.json:
            report.write(arguments.json)
    except (ValueError, OSError) as error:
        print("error: " + str(error).replace("\n", "\nerror: "), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
