"""Count the costs of networks and time them in several forms, alone and end to end:
python tracking/profile_model.py --config grm_vitb [--config ...] [--forms eager:fp32,eager:bf16] [a.key=value ...]"""

import sys

from lib.runtime.program import Result, program, starting

with starting():
    from lib.config.paths import user_path
    from lib.profiling.forms import EAGER, parse_forms
    from lib.profiling.models import Measurements, profile_models
    from lib.programs.arguments import Parser, at_least


@program("stopped; --json has the experiments that were finished")
def main() -> Result:
    """0 once all is measured, 1 if an experiment failed or after an error, 130 after Ctrl-C, 143 after
    SIGTERM."""

    def counts(text: str) -> tuple[int, ...]:
        return tuple(map(at_least(1), text.split(",")))

    parser = Parser(__doc__)
    add = parser.add_argument
    add("--config", action="append", default=[], metavar="NAME", help="experiment or path (repeatable; default: all)")
    add("--forms", default=":".join(EAGER), help="kind:precision,... such as eager:bf16,onnx:fp32")
    add("--network", type=user_path, action="append", default=[], metavar="FOLDER", help="exported (repeatable)")
    add("--batch", type=counts, default=(1,), metavar="N,N", help="targets at once")
    add("--frames", type=at_least(0), default=50, help="timed frames; 0: none")
    add("--warmup", type=at_least(0), default=5, help="batches before the timed ones")
    add("--engine", type=counts, default=(), metavar="N,N", help="slots of the engine, which reads JPEG files")
    add("--engine-frames", type=at_least(1), default=800, help="frames in one run of the engine")
    add("--engine-threads", type=at_least(1), help="threads of the engine, beside those of the network")
    add("--training", type=at_least(0), default=0, metavar="N", help="pairs of a timed training step; 0: none")
    parser.device()
    add("--threads", type=at_least(1), help="threads of the processor (default: torch's choice)")
    add("--json", type=user_path, metavar="FILE", help="write the tables to this file too, after each experiment")
    parser.overrides()
    arguments = parser.parse()
    config, overrides, device, file = (arguments.pop(name) for name in ("config", "overrides", "device", "json"))
    arguments["forms"] = parse_forms(arguments["forms"])
    return profile_models(config, overrides, device, Measurements(**arguments), file)


if __name__ == "__main__":
    sys.exit(main())
