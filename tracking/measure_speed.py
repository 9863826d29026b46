"""Measure the tables of docs/speed.md, on a CPU or on a GPU: python tracking/measure_speed.py gpu"""

import sys

from lib.runtime.program import Outcome, program, starting

with starting():
    import torch

    from lib.config.paths import load_paths, user_path
    from lib.profiling.plans import PLANS, run_plan, toy
    from lib.programs.arguments import Parser


@program("stopped; the report has the numbers so far")
def main() -> Outcome:
    """0 if all was measured, or there is no GPU to measure; 1 if a measurement failed, 130 after Ctrl-C."""
    parser = Parser(__doc__)
    parser.add_argument("plan", choices=list(PLANS))
    parser.add_argument("--toy", action="store_true", help="the same steps at toy size on the CPU, as a trial")
    parser.add_argument("--output", type=user_path, help="folder of the report (default: output's speed/PLAN)")
    arguments = parser.parse_args()
    plan, device = PLANS[arguments.plan], "cuda" if arguments.plan == "gpu" else "cpu"
    if arguments.toy:
        plan, device = toy(plan), "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        return Outcome("PyTorch sees no CUDA here, so there is nothing to measure")
    output = arguments.output or load_paths().output / "speed" / arguments.plan
    report = run_plan(plan, device, output)
    return Outcome(f"{report.text()}\nreport: {output}", not report.failed)


if __name__ == "__main__":
    sys.exit(main())
