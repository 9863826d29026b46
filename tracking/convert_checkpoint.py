"""Write a released checkpoint, as its authors published it, in this project's plain form, or list its content.

python tracking/convert_checkpoint.py GRM_ep0300.pth.tar --config grm_vitb --out grm_vitb.pth
python tracking/convert_checkpoint.py simtrack.pth --config simtrack_b16 --rename names.yaml --out simtrack_b16.pth
python tracking/convert_checkpoint.py simtrack.pth --config simtrack_b16 --list
python tracking/convert_checkpoint.py model.safetensors --config lorat_b224 --merge --out lorat_b224.pth

Nothing in the file is executed. See docs/checkpoints.md, also for the table of names.
"""

import sys

from lib.runtime.program import Result, program, starting

with starting():
    from lib.config.paths import user_path
    from lib.programs.arguments import Parser
    from lib.programs.conversion import convert_checkpoint


@program()
def main() -> Result:
    """0, or 1 if the file does not fit or nothing was written."""
    parser = Parser(__doc__)
    parser.add_argument("file", type=user_path, help="checkpoint to read")
    parser.config()
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--out", type=user_path, metavar="FILE", help="file to write, .pth or .safetensors")
    task.add_argument(
        "--list", dest="out", action="store_const", const=None, help="print names and shapes in file and network"
    )
    parser.add_argument("--rename", type=user_path, metavar="YAML", help="table of names, a line `theirs: ours` each")
    parser.add_argument("--half", action="store_true", help="write the numbers in half precision")
    parser.add_argument("--merge", action="store_true", help="fold LoRA's updates into the weights")
    parser.add_argument("--force", action="store_true", help="replace a file that exists")
    parser.overrides()
    return convert_checkpoint(**parser.parse())


if __name__ == "__main__":
    sys.exit(main())
