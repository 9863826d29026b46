"""Write a checkpoint's network as a folder that runs without PyTorch, through ONNX Runtime or OpenVINO:
python tracking/export_model.py --config grm_vitb --checkpoint FILE --format openvino --precision bf16 [--batch N]

It is compared with the network in PyTorch first, and refused if it answers otherwise. docs/export.md says more.
"""

from __future__ import annotations

import argparse
import sys
from typing import get_args

from lib.runtime.program import program, starting

with starting():
    from lib.config.paths import load_paths, user_path
    from lib.export.record import ExportPrecision, Runtime
    from lib.programs.exporting import export_checkpoint
    from lib.runtime.escapes import show
    from lib.runtime.logs import set_up_logging


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", help="name in experiments/ or path; without it, the checkpoint's own configuration")
    parser.add_argument(
        "--checkpoint", type=user_path,
        help="weights, of a run or as their authors released them; without it, the run's last.pth, else the weights "
        "that the experiment names",
    )  # fmt: skip
    parser.add_argument("--format", choices=get_args(Runtime), required=True, help="library that will run it")
    parser.add_argument("--precision", choices=get_args(ExportPrecision), default="fp32", help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=1, help="crops at a time, at most (default: %(default)s)")
    parser.add_argument("--dataset", metavar="NAME", help="benchmark whose test-time values it gets")
    parser.add_argument(
        "--out", type=user_path, metavar="FOLDER",
        help="default: exported/<format>_<precision>_<batch> in the output folder",
    )  # fmt: skip
    parser.add_argument("--score", metavar="NAME", help="benchmark to test both forms on in the end")
    parser.add_argument("--paths", type=user_path, help="file instead of paths.yaml")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values of the configuration")
    arguments = parser.parse_intermixed_args()
    if not (arguments.config or arguments.checkpoint):
        parser.error("name --config, --checkpoint or both")
    if arguments.batch < 1:
        parser.error("--batch must be 1 or more")
    return arguments


@program("stopped; an export that was not whole is removed")
def main() -> int:
    """0 once the folder is written, 1 if it was refused or after an error, 130 after Ctrl-C."""
    arguments = parse_arguments()
    set_up_logging()
    texts = export_checkpoint(
        load_paths(arguments.paths),
        config=arguments.config,
        checkpoint=arguments.checkpoint,
        runtime=arguments.format,
        precision=arguments.precision,
        batch=arguments.batch,
        dataset=arguments.dataset,
        out=arguments.out,
        score=arguments.score,
        overrides=arguments.overrides,
    )
    for text in texts:
        show(text, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
