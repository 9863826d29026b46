"""Measure the tables of docs/speed.md, on a CPU or on a GPU: python tracking/measure_speed.py gpu"""

from __future__ import annotations

import argparse
import sys

from lib.runtime.program import program, starting

with starting():
    import torch

    from lib.config.paths import load_paths, user_path
    from lib.profiling.plans import PLANS, run_plan, toy
    from lib.runtime.escapes import show
    from lib.runtime.logs import set_up_logging


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("plan", choices=list(PLANS))
    parser.add_argument("--toy", action="store_true", help="the same steps at toy size on the CPU, as a trial")
    parser.add_argument("--output", type=user_path, help="folder of the report (default: output's speed/PLAN)")
    return parser.parse_args()


@program("stopped; the report has the numbers so far")
def main() -> int:
    """0 if all was measured, or there is no GPU to measure; 1 if a measurement failed, 130 after Ctrl-C."""
    arguments = parse_arguments()
    set_up_logging()
    plan, device = PLANS[arguments.plan], "cuda" if arguments.plan == "gpu" else "cpu"
    if arguments.toy:
        plan, device = toy(plan), "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        show("PyTorch sees no CUDA here, so there is nothing to measure")
        return 0
    output = arguments.output or load_paths().output / "speed" / arguments.plan
    report = run_plan(plan, device, output)
    show(f"{report.text()}\nreport: {output}")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
