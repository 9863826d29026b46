"""Faults of the masks of a dataset's targets: the outlines in its annotations, or the files of a folder."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from lib.data.checking import PIECE, CheckReport, Problem
from lib.data.datasets.registry import find_dataset
from lib.data.decoding.images import ImageError, open_image
from lib.data.files.source import Source
from lib.data.masks import MaskFolder, outline_extent
from lib.data.stores.packed import open_source
from lib.data.types import Sequence
from lib.runtime.children import Pool
from lib.runtime.escapes import printable

# The least overlap of the union of an annotated box and the box of its mask, if both show the same target.
MIN_OVERLAP = 0.5

Target = tuple[Sequence, int]  # with the number of a frame


def check_masks(
    report: CheckReport, folder: Path | None = None, *, cache: Path | None = None, processes: int = 1
) -> None:
    """Add to a report the faults of the masks of its splits on the disk.

    ``folder`` holds the masks, laid out as the dataset; without it the masks are the outlines in the annotations. Each
    frame with a visible target needs a mask that shows some of it. ``cache`` is that of ``Source``. Ctrl-C ends the
    work, as in ``check_dataset_on_disk``.
    """
    source = open_source(report.root, cache)
    masks = None if folder is None else MaskFolder(folder, source)
    seen: set[tuple[str, str]] = set()
    try:
        with Pool(processes if processes > 1 else 0, "opened masks", partial(cv2.setNumThreads, 1)) as pool:
            for check in report.splits:
                if not check.absent:
                    targets = _targets(report.dataset, check.split, source, seen)
                    check.problems += _check_split(targets, check.split, masks, pool)
    except KeyboardInterrupt:
        report.complete = False


def _targets(dataset: str, split: str, source: Source, seen: set[tuple[str, str]]) -> Iterator[Target]:
    """The targets of a split that no split before it had. Unreadable sequences are in the report already."""
    try:
        entries = list(find_dataset(dataset).entries(source, split))
    except ValueError:
        return
    for entry in entries:
        try:
            sequence = entry.read()
        except ValueError:
            continue
        key = sequence.name, str(sequence.frames[0])
        if key not in seen:
            seen.add(key)
            yield from ((sequence, int(frame)) for frame in np.flatnonzero(sequence.visible))


def _check_split(targets: Iterator[Target], split: str, masks: MaskFolder | None, pool: Pool) -> list[Problem]:
    """A problem for each sequence and kind, with the first of its details."""
    first: dict[tuple[str, str], Problem] = {}
    counts: Counter[tuple[str, str]] = Counter()
    targets = tqdm(targets, printable(f"masks of {split}"), unit=" masks", disable=None)
    pieces = iter(lambda: list(islice(targets, PIECE)), [])
    with closing(pool.each(partial(_check_piece, masks), pieces)) as found:
        for problem in chain.from_iterable(found):
            key = problem.kind, problem.sequence
            counts[key] += 1
            first.setdefault(key, problem)
    return [problem._replace(count=counts[key]) for key, problem in first.items()]


def _check_piece(masks: MaskFolder | None, targets: list[Target]) -> list[Problem]:
    found = ((sequence.name, _check_mask(masks, sequence, frame)) for sequence, frame in targets)
    return [Problem(fault[0], name, 1, fault[1]) for name, fault in found if fault is not None]


def _check_mask(masks: MaskFolder | None, sequence: Sequence, frame: int) -> tuple[str, str] | None:
    """Kind and detail of the fault of one mask."""
    location = sequence.frames[frame]
    if masks is None:
        if sequence.outline is None:
            return "no_mask", f"{location.name}: no outline, or a mere box"
        left, top, right, bottom = outline_extent(sequence.outline)
    else:
        try:
            shape = open_image(location).shape
        except ImageError:  # the report has a line on it already
            return None
        try:
            mask = masks.read(sequence, frame, shape)
        except ImageError as error:
            return "no_mask" if isinstance(error.__cause__, FileNotFoundError) else "bad_mask", str(error)
        left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
        right, bottom = left + width, top + height
    if left >= right or top >= bottom:
        return "bad_mask", f"{location.name}: the outline has no pixel"
    x, y, width, height = sequence.boxes[frame].tolist()
    across, down = min(right, x + width) - max(left, x), min(bottom, y + height) - max(top, y)
    shared = max(0.0, across) * max(0.0, down)
    if shared < MIN_OVERLAP * (width * height + (right - left) * (bottom - top) - shared):
        found, stated = _words(left, top, right - left, bottom - top), _words(x, y, width, height)
        return "mask_box", f"{location.name}: the mask's box is {found}, the annotated one {stated}"
    return None


def _words(*box: float) -> str:
    return " ".join(f"{axis}={value:g}" for axis, value in zip("xywh", box, strict=True))
