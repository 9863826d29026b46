"""Prepare datasets: write a synthetic one, check one on disk, pack one into a single file, keep its crops, or draw
training samples.

python tracking/prepare_data.py synthetic --root data/synthetic
python tracking/prepare_data.py check got10k
python tracking/prepare_data.py pack got10k --split full --out /data/got10k_lmdb --verify
python tracking/prepare_data.py crops got10k --config grm_vitb_got10k --out /data/got10k_crops
python tracking/prepare_data.py samples --config grm_vitb --out samples.png
"""

import os
import sys
from collections.abc import Callable

from lib.runtime.program import Result, program, starting

with starting():
    from lib.config.paths import load_paths, user_path
    from lib.programs.arguments import Parser, at_least
    from lib.programs.preparation import check, draw, make_crops, pack, write_set

CORES = os.cpu_count() or 1


@program("stopped; the same command starts again, from the finished parts of a pack or crop store")
def main() -> Result:
    """0, or 1 if the task could not be done or a check found a fault, 130 after Ctrl-C."""
    parser = Parser(__doc__)
    tasks = parser.add_subparsers(required=True)

    def add_task(
        name: str, body: Callable[..., Result], help_text: str, dataset: bool = False
    ) -> Callable[..., object]:
        task = tasks.add_parser(name, help=help_text, description=help_text)
        task.set_defaults(body=body)
        if dataset:
            task.add_argument("name", help="dataset: got10k, lasot, trackingnet, coco ...")
            where = task.add_mutually_exclusive_group()
            where.add_argument("--paths", type=user_path, metavar="FILE", help="file instead of paths.yaml")
            where.add_argument("--root", type=user_path, metavar="DIR", help="folder of the dataset")
        return task.add_argument

    add = add_task("synthetic", write_set, "write a synthetic set; one that exists is left as it is")
    add("--root", type=user_path, required=True, help="folder to write, with train/ and val/ in it")
    add("--train", type=at_least(1), default=480, help="sequences of the train split (default: %(default)s)")
    add("--val", type=at_least(1), default=32, help="sequences of the val split (default: %(default)s)")
    add("--frames", type=at_least(1), default=24, help="frames of a train sequence (default: %(default)s)")
    add("--val-frames", type=at_least(1), default=60, help="frames of a val sequence (default: %(default)s)")
    add("--seed", type=at_least(0), default=0, help="another seed is another set (default: %(default)s)")
    add("--processes", type=at_least(1), default=CORES, help="processes that draw sequences")

    add = add_task("check", check, "read all of a dataset and report its faults", dataset=True)
    add("--split", action="extend", nargs="+", help="only these splits; without it, all that exist")
    add("--json", type=user_path, metavar="FILE", help="write the findings to this file, too")
    add("--quick", action="store_true", help="open the images, but decode none")
    add(
        "--masks", action="store_true", help="also the targets' masks: outlines, or the folder masks.NAME of paths.yaml"
    )
    add("--processes", type=at_least(1), default=CORES, help="images that are opened at a time")

    add = add_task("pack", pack, "copy all files that a dataset's splits need into one LMDB", dataset=True)
    add("--split", action="extend", nargs="+", help="only these splits; without it, all that exist")
    add("--out", type=user_path, required=True, metavar="DIR", help="folder for the LMDB")
    add("--verify", action="store_true", help="compare the LMDB with the dataset afterwards")

    add = add_task("crops", make_crops, "keep the part of each frame that training crops need", dataset=True)
    add("--config", required=True, help="experiment (name in experiments/ or path) that is to be trained")
    add("--out", type=user_path, required=True, metavar="DIR", help="folder for each split's crop store")
    add("--split", help="only this split; without it, those of the dataset that the experiment trains on")
    add("--every", type=at_least(1), metavar="N", help="frame 0, N, 2 N ... and the last of each video")
    add("--processes", type=at_least(1), default=CORES, help="parts that are written at a time")

    add = add_task("samples", draw, "draw training samples as they reach the network, with their boxes")
    add("--config", required=True, help="experiment (name in experiments/ or path)")
    add("--out", type=user_path, required=True, metavar="FILE", help="PNG to write")
    add("--count", type=at_least(1), default=24, help="number of samples (default: %(default)s)")
    add("--first", type=at_least(0), default=0, help="number of the first sample (default: %(default)s)")
    add("--paths", type=user_path, metavar="FILE", help="file instead of paths.yaml")
    add("overrides", nargs="*", metavar="KEY=VALUE", help="other values than the experiment's")

    arguments = vars(parser.parse_args())
    if "paths" in arguments:
        arguments["paths"] = load_paths(arguments["paths"])
    return arguments.pop("body")(**arguments)


if __name__ == "__main__":
    sys.exit(main())
