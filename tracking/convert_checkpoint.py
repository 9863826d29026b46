"""Write a released checkpoint, as its authors published it, in this project's plain form, or list what is in it.

python tracking/convert_checkpoint.py GRM_ep0300.pth.tar --config grm_vitb --out grm_vitb.pth
python tracking/convert_checkpoint.py simtrack.pth --config simtrack_b16 --rename names.yaml --out simtrack_b16.pth
python tracking/convert_checkpoint.py simtrack.pth --config simtrack_b16 --list
python tracking/convert_checkpoint.py model.safetensors --config lorat_b224 --merge --out lorat_b224.pth

Nothing in the file is executed. docs/checkpoints.md says more, also of the table of names.
"""

from __future__ import annotations

import argparse
import sys

from lib.runtime.program import program, starting

with starting():
    from lib.config.paths import user_path
    from lib.programs.converting import convert_checkpoint, list_names
    from lib.runtime.escapes import show


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=user_path, help="checkpoint to read")
    parser.add_argument("--config", help="experiment whose network it is of; without it, the checkpoint's own")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--out", type=user_path, metavar="FILE", help="file to write, .pth or .safetensors")
    task.add_argument("--list", action="store_true", help="print names and shapes in the file, and of the network")
    parser.add_argument("--rename", type=user_path, metavar="YAML", help="table of names, a line `theirs: ours` each")
    parser.add_argument("--half", action="store_true", help="write the numbers in half precision")
    parser.add_argument("--merge", action="store_true", help="fold LoRA's updates into the weights")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values of the configuration")
    arguments = parser.parse_intermixed_args()
    if arguments.list and (arguments.rename or arguments.force or arguments.half or arguments.merge):
        parser.error("--rename, --half, --merge and --force go with --out")
    return arguments


@program()
def main() -> int:
    """0, or 1 if the file does not fit or nothing was written."""
    arguments = parse_arguments()
    if arguments.list:
        text = list_names(arguments.file, arguments.config, arguments.overrides)
    else:
        text = convert_checkpoint(
            arguments.file,
            arguments.config,
            arguments.out,
            arguments.overrides,
            table=arguments.rename,
            force=arguments.force,
            half=arguments.half,
            merge=arguments.merge,
        )
    show(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
