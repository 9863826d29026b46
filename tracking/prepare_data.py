"""Prepare datasets: write a synthetic one, check one on disk, pack one into a single file, keep its crops, or draw
training samples.

python tracking/prepare_data.py synthetic --root data/synthetic
python tracking/prepare_data.py check got10k
python tracking/prepare_data.py pack got10k --split full --out /data/got10k_lmdb --verify
python tracking/prepare_data.py crops got10k --config grm_vitb_got10k --out /data/got10k_crops
python tracking/prepare_data.py samples --config grm_vitb --out samples.png
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from lib.runtime.program import program, starting

with starting():
    from lib.config.paths import Paths, load_paths, user_path
    from lib.data.checking import check_dataset_on_disk, find_splits
    from lib.data.datasets.registry import check_dataset
    from lib.data.mask_checking import check_masks
    from lib.data.stores.packing import pack_dataset, verify_packed
    from lib.data.synthetic.writing import write_synthetic
    from lib.runtime.escapes import show
    from lib.runtime.logs import set_up_logging


def parse_arguments() -> argparse.Namespace:
    """The command line; ``run`` is the function of its task."""
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tasks = parser.add_subparsers(dest="task", required=True)
    _add_synthetic(tasks)
    _add_check(tasks)
    _add_pack(tasks)
    _add_crops(tasks)
    _add_samples(tasks)
    return parser.parse_args()


def _add_synthetic(tasks: argparse._SubParsersAction) -> None:
    task = _add_task(
        tasks, "synthetic", _synthetic, "write a synthetic set; one that is there already is left as it is"
    )
    task.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    count = _at_least(1)
    task.add_argument("--root", type=user_path, required=True, help="folder to write, with train/ and val/ in it")
    task.add_argument("--train", type=count, default=480, help="sequences of the train split")
    task.add_argument("--val", type=count, default=32, help="sequences of the val split")
    task.add_argument("--frames", type=count, default=24, help="frames of a train sequence")
    task.add_argument("--val-frames", type=count, default=60, help="frames of a val sequence")
    task.add_argument("--seed", type=_at_least(0), default=0, help="another seed is another set")
    task.add_argument("--processes", type=count, default=os.cpu_count() or 1, help="processes that draw sequences")


def _add_check(tasks: argparse._SubParsersAction) -> None:
    task = _add_task(tasks, "check", _check, "read everything of a dataset and say what is wrong with it")
    _add_dataset(task)
    task.add_argument("--split", action="extend", nargs="+", help="only these splits; without it, all that are there")
    task.add_argument("--json", type=user_path, metavar="FILE", help="write all that was found to this file, too")
    task.add_argument("--quick", action="store_true", help="open the images, but decode none")
    task.add_argument(
        "--masks", action="store_true", help="also the targets' masks: outlines, or the folder masks.NAME of paths.yaml"
    )
    task.add_argument("--processes", type=_at_least(1), default=os.cpu_count() or 1, help="processes that open images")


def _add_pack(tasks: argparse._SubParsersAction) -> None:
    task = _add_task(tasks, "pack", _pack, "copy all files that a dataset's splits need into one LMDB")
    _add_dataset(task)
    task.add_argument("--split", action="extend", nargs="+", help="only these splits; without it, all that are there")
    task.add_argument("--out", type=user_path, required=True, metavar="DIR", help="folder for the LMDB")
    task.add_argument("--verify", action="store_true", help="compare the LMDB with the dataset afterwards")


def _add_crops(tasks: argparse._SubParsersAction) -> None:
    task = _add_task(tasks, "crops", _crops, "keep of each frame what training crops show, as small as they need it")
    _add_dataset(task)
    task.add_argument("--config", required=True, help="experiment (name in experiments/ or path) that is to be trained")
    task.add_argument("--out", type=user_path, required=True, metavar="DIR", help="folder for each split's crop store")
    task.add_argument("--split", help="only this split; without it, those of the dataset that the experiment trains on")
    task.add_argument("--every", type=_at_least(1), metavar="N", help="frame 0, N, 2 N ... and the last of each video")
    task.add_argument("--processes", type=_at_least(1), default=os.cpu_count() or 1, help="processes that write")


def _add_samples(tasks: argparse._SubParsersAction) -> None:
    task = _add_task(tasks, "samples", _samples, "draw training samples as they reach the network, with their boxes")
    task.add_argument("--config", required=True, help="experiment (name in experiments/ or path)")
    task.add_argument("--out", type=user_path, required=True, metavar="FILE", help="PNG to write")
    task.add_argument("--count", type=_at_least(1), default=24, help="how many samples (24)")
    task.add_argument("--first", type=_at_least(0), default=0, help="number of the first sample (0)")
    task.add_argument("--paths", type=user_path, metavar="FILE", help="file instead of paths.yaml")
    task.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="other values than the experiment's")


def _add_task(
    tasks: argparse._SubParsersAction, name: str, run: Callable[[argparse.Namespace], int], words: str
) -> argparse.ArgumentParser:
    task = tasks.add_parser(name, help=words, description=words, allow_abbrev=False)
    task.set_defaults(run=run)
    return task


def _add_dataset(task: argparse.ArgumentParser) -> None:
    task.add_argument("name", help="dataset: got10k, lasot, trackingnet, coco ...")
    where = task.add_mutually_exclusive_group()
    where.add_argument(
        "--paths", type=user_path, metavar="FILE", help="file instead of paths.yaml, which says where it lies"
    )
    where.add_argument("--root", type=user_path, metavar="DIR", help="folder of the dataset, whatever paths.yaml says")


def _at_least(bound: int) -> Callable[[str], int]:
    """A whole number of an argument, refused below the bound."""

    def number(text: str) -> int:
        if int(text) < bound:
            raise argparse.ArgumentTypeError(f"{text} is below {bound}")
        return int(text)

    return number


def _find(arguments: argparse.Namespace) -> tuple[Path, Paths]:
    """The dataset's folder, and the other folders of this machine."""
    check_dataset(arguments.name)
    paths = load_paths(arguments.paths)
    return arguments.root or paths.dataset_root(arguments.name), paths


def _synthetic(arguments: argparse.Namespace) -> int:
    written = write_synthetic(
        arguments.root,
        train=arguments.train,
        val=arguments.val,
        frames=arguments.frames,
        val_frames=arguments.val_frames,
        seed=arguments.seed,
        processes=arguments.processes,
    )
    show(f"{arguments.root}: {'written' if written else 'there already, left as it is'}")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    root, paths = _find(arguments)
    report = check_dataset_on_disk(
        arguments.name,
        root,
        arguments.split or (),
        cache=paths.cache,
        processes=arguments.processes,
        quick=arguments.quick,
    )
    if arguments.masks and report.complete:
        folder = paths.masks.get(arguments.name)
        check_masks(report, folder, cache=paths.cache, processes=arguments.processes)
    show(report.text())
    if arguments.json:
        report.write(arguments.json)
    if not report.complete:
        show("stopped", sys.stderr)
        return 130
    return 0 if report.good else 1


def _pack(arguments: argparse.Namespace) -> int:
    root, _ = _find(arguments)
    splits = arguments.split or find_splits(arguments.name, root)
    show(pack_dataset(arguments.name, splits, root, arguments.out).text())
    problems = verify_packed(arguments.out, root) if arguments.verify else []
    if problems:
        raise ValueError("\n".join(problems))
    if arguments.verify:
        show(f"{arguments.out}: every file is as it is in {root}")
    return 0


def _crops(arguments: argparse.Namespace) -> int:
    # Here, since the networks that come with it take seconds to load, and no other task needs them.
    with starting():
        from lib.experiment.build import load_experiment
        from lib.programs.preparing import make_crops

    root, paths = _find(arguments)
    summaries = make_crops(
        load_experiment(arguments.config),
        arguments.name,
        root,
        paths.cache,
        arguments.out,
        split=arguments.split,
        every=arguments.every,
        processes=arguments.processes,
    )
    show("\n".join(summary.text() for summary in summaries))
    return 0


def _samples(arguments: argparse.Namespace) -> int:
    with starting():
        from lib.experiment.build import load_experiment
        from lib.programs.samples import draw_samples

    numbers = range(arguments.first, arguments.first + arguments.count)
    experiment = load_experiment(arguments.config, arguments.overrides)
    show("\n".join(draw_samples(experiment, load_paths(arguments.paths), numbers, arguments.out)))
    return 0


@program("stopped; what was written so far is kept, and the same command goes on from there")
def main() -> int:
    """0, or 1 if the task could not be done or a check found something wrong, 130 after Ctrl-C."""
    arguments = parse_arguments()
    set_up_logging()
    return arguments.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
