"""Count the costs of networks and time them in several forms, alone and end to end:
python tracking/profile_model.py --config grm_vitb [--config ...] [--forms eager:fp32,eager:bf16] [a.key=value ...]"""

from __future__ import annotations

import argparse
import sys

from lib.runtime.program import program, starting

with starting():
    from lib.config.paths import user_path
    from lib.profiling.forms import EAGER, parse_forms
    from lib.profiling.models import Measurements, profile_models
    from lib.runtime.escapes import show
    from lib.runtime.logs import set_up_logging


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )

    def number(text: str, least: int = 0) -> int:
        if int(text) < least:
            raise ValueError
        return int(text)

    def count(text: str) -> int:
        return number(text, 1)

    def counts(text: str) -> tuple[int, ...]:
        return tuple(map(count, text.split(",")))

    add = parser.add_argument
    add("--config", action="append", default=[], metavar="NAME", help="in experiments/ or path (may be repeated); all")
    add("--forms", default=":".join(EAGER), help="of the network, in turns: kind:precision,...")
    add("--network", type=user_path, action="append", default=[], metavar="FOLDER", help="exported (repeatable)")
    add("--batch", type=counts, default=(1,), metavar="N,N", help="targets at once")
    add("--frames", type=number, default=50, help="timed; 0: none")
    add("--warmup", type=number, default=5, help="batches before the timed ones")
    add("--engine", type=counts, default=(), metavar="N,N", help="slots of the engine, which reads JPEG files")
    add("--engine-frames", type=count, default=800, help="in one run of the engine")
    add("--engine-threads", type=count, help="of the engine, beside those of the network")
    add("--training", type=number, default=0, metavar="N", help="pairs of a timed training step; 0: none")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add("--threads", type=count, help="of the processor (default: torch's choice)")
    add("--json", type=user_path, metavar="FILE", help="write the tables to this file, too")
    add("overrides", nargs="*", metavar="section.key=value", help="values of the configuration")
    return parser.parse_intermixed_args()


@program("stopped; nothing was written")
def main() -> int:
    """0 once all is measured, 1 after an error, 130 after Ctrl-C."""
    arguments = parse_arguments()
    set_up_logging()
    wanted = Measurements(
        forms=parse_forms(arguments.forms),
        folders=tuple(arguments.network),
        batches=arguments.batch,
        frames=arguments.frames,
        warmup=arguments.warmup,
        engine=arguments.engine,
        engine_frames=arguments.engine_frames,
        engine_threads=arguments.engine_threads,
        training=arguments.training,
        threads=arguments.threads,
    )
    report = profile_models(arguments.config, arguments.overrides, arguments.device, wanted)
    show(report.text())
    if arguments.json:
        report.write(arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
