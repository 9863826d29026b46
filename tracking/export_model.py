"""Write a checkpoint's network as a folder that runs without PyTorch, through ONNX Runtime or OpenVINO:
python tracking/export_model.py --config grm_vitb --checkpoint FILE --format openvino --precision bf16 [--batch N]

It is compared with the network in PyTorch first, and refused if it answers otherwise. See docs/export.md.
"""

import sys
from typing import get_args

from lib.runtime.program import Result, program, starting

with starting():
    from lib.config.paths import user_path
    from lib.export.record import ExportPrecision, Runtime
    from lib.programs.arguments import Parser, at_least
    from lib.programs.export import export_checkpoint


@program("stopped; an unfinished export is removed")
def main() -> Result:
    """0 once the folder is written, 1 if it was refused or after an error, 130 after Ctrl-C."""
    parser = Parser(__doc__)
    parser.config()
    parser.checkpoint()
    add = parser.add_argument
    add("--format", dest="runtime", choices=get_args(Runtime), required=True, help="library that will run it")
    add("--precision", choices=get_args(ExportPrecision), default="fp32", help="default: %(default)s")
    add("--batch", type=at_least(1), default=1, help="most crops at a time (default: %(default)s)")
    add("--dataset", metavar="NAME", help="benchmark whose test-time values it gets")
    add(
        "--out", type=user_path, metavar="FOLDER",
        help="default: exported/<format>_<precision>_<batch> in the output folder of the experiment",
    )  # fmt: skip
    add("--score", metavar="NAME", help="benchmark to test both forms on in the end")
    parser.paths()
    parser.overrides()
    return export_checkpoint(**parser.parse())


if __name__ == "__main__":
    sys.exit(main())
