"""The bodies of `tracking/prepare_data.py`: write, check and pack datasets, store their crops, draw their samples."""

from collections import abc
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lib.config.paths import Paths
from lib.config.schema import ConfigError
from lib.data.checking import check_dataset_on_disk, find_splits
from lib.data.datasets.registry import find_dataset
from lib.data.stores.packing import pack_dataset, verify_packed
from lib.data.synthetic.writing import SyntheticSet, write_synthetic
from lib.runtime.escapes import show
from lib.runtime.program import TextResult, starting
from lib.runtime.stop import terminated_like_interrupted
from lib.visualization.boxes import BOX_COLORS
from lib.visualization.sheet import Panel, tile, write_png

if TYPE_CHECKING:
    from torch import Tensor

# The tasks that need PyTorch import it themselves: it takes seconds.


def write_set(root: Path, train: int, val: int, frames: int, val_frames: int, seed: int, processes: int) -> TextResult:
    """Write a synthetic set, see ``write_synthetic``."""
    written = write_synthetic(root, SyntheticSet(train, val, frames, val_frames, seed=seed), processes)
    return TextResult(f"{root}: {'written' if written else 'there already, left as it is'}")


def check(
    name: str,
    paths: Paths,
    root: Path | None,
    split: abc.Sequence[str] | None,
    json: Path | None,
    quick: bool,
    masks: bool,
    processes: int,
) -> int:
    """Check the splits of a dataset (None: all that exist) as ``check_dataset_on_disk`` does, with ``masks`` its
    masks too; print the findings and write them to the file ``json``. Ctrl-C and SIGTERM end it with the findings so
    far. Returns 0 if nothing is wrong, else 1."""
    root = _find_root(name, root, paths)
    with terminated_like_interrupted():
        report = check_dataset_on_disk(
            name, root, split or (), cache=paths.cache, threads=processes, quick=quick,
            masks=masks, mask_folder=paths.masks.get(name),
        )  # fmt: skip
    try:
        show(report.text())
    finally:  # neither a full disk nor a closed pipe loses the findings of hours
        if json:
            report.write(json)
    if report.stop:
        raise type(report.stop)("stopped")
    return int(not report.good)


def pack(
    name: str, paths: Paths, root: Path | None, split: abc.Sequence[str] | None, out: Path, verify: bool
) -> TextResult:
    """Pack splits of a dataset (None: all that exist) into the LMDB ``out``; ``verify`` compares it with the dataset
    afterwards."""
    root = _find_root(name, root, paths)
    text = pack_dataset(name, split or find_splits(name, root), root, out).text()
    if not verify:
        return TextResult(text)
    show(text)
    if problems := verify_packed(out, root):
        raise ValueError("\n".join(problems))
    return TextResult(f"{out}: every file is as it is in {root}")


def make_crops(
    name: str,
    paths: Paths,
    root: Path | None,
    config: str,
    out: Path,
    split: str | None = None,
    every: int | None = None,
    processes: int = 1,
) -> TextResult:
    """Write the crop stores for training the experiment ``config`` on a dataset, each in a folder ``out / <split>``.

    ``split`` is one that the experiment trains on or any other, None all that it trains on. ``every`` replaces the
    source's ``annotated_every``. Raises ``ConfigError`` for a dataset that the experiment does not train on without a
    ``split``, and ``ValueError`` as ``lib.data.stores.cropping.write_crops`` does.
    """
    with starting():
        from lib.data.pairs import SourceConfig
        from lib.data.stores.cropping import write_crops
        from lib.experiment.build import crop_settings
        from lib.experiment.config import load_experiment

    root = _find_root(name, root, paths)
    experiment = load_experiment(config)
    trained = [source for source in experiment.data.train if source.name == name and source.cutouts is None]
    sources = [source for source in trained if split in (None, source.split)]
    if not sources and split is not None:
        sources = [SourceConfig(name=name, split=split)]
    if not sources:
        names = ", ".join(dict.fromkeys(source.name for source in experiment.data.train))
        raise ConfigError(f"{experiment.name} does not train on {name} but on {names}; name one of them, or a split")
    if every is not None:
        sources = [source.model_copy(update={"annotated_every": every}) for source in sources]
    summaries = [
        write_crops(name, source.split, root, paths.cache, out, crop_settings(experiment, source), processes)
        for source in {source.split: source for source in sources}.values()
    ]
    return TextResult("\n".join(summary.text() for summary in summaries))


def draw(paths: Paths, config: str, out: Path, count: int, first: int, overrides: abc.Sequence[str] = ()) -> TextResult:
    """Write a PNG with training samples of an experiment, each the template beside the search crop with their boxes, as
    they are after all that is drawn. The text has the samples' sources. Raises ``ValueError`` as ``build_pairs``."""
    with starting():
        from lib.experiment.build import build_pairs
        from lib.experiment.config import load_experiment

    experiment = load_experiment(config, overrides)
    pairs = build_pairs(experiment, paths, experiment.data.train)
    samples = [pairs.sample(number) for number in range(first, first + count)]
    panels = []
    for sample in samples:
        template = _picture(sample.template[0], float(sample.template_gain), sample.template_box[0])
        search = _picture(sample.search[0], float(sample.search_gain), sample.search_box[0])
        panel = np.full((max(len(template), len(search)), len(template) + len(search), 3), 255, np.uint8)
        panel[: len(template), : len(template)] = template
        panel[: len(search), len(template) :] = search
        panels.append(Panel(f"{sample.numbers[0]}", panel))
    write_png(out, tile(panels))
    return TextResult("\n".join(f"{sample.numbers[0]}  {sample.sources[0]}" for sample in samples))


def _picture(pixels: "Tensor", gain: float, box: "Tensor") -> np.ndarray:
    image = np.clip(np.ascontiguousarray(pixels.permute(1, 2, 0)) * gain, 0, 255).astype(np.uint8)
    x, y, width, height = np.rint(box.numpy() * len(image)).astype(int).tolist()
    cv2.rectangle(image, (x, y), (x + width, y + height), BOX_COLORS[0])
    return image


def _find_root(name: str, root: Path | None, paths: Paths) -> Path:
    find_dataset(name)
    return root or paths.dataset_root(name)
