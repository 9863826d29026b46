"""Faults of a dataset on disk: its sequences, their annotations, every image and mask, as a table and as JSON."""

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from lib.data.datasets.order import is_image
from lib.data.datasets.record import Dataset, Entry, clashing_names
from lib.data.datasets.registry import find_dataset
from lib.data.decoding.images import ImageError, open_image
from lib.data.files.source import Source
from lib.data.masks import MaskFolder, find_mask, mask_extent
from lib.data.stores.packed import open_source
from lib.data.types import SHORTFALL, Location, Sequence
from lib.geometry.overlaps import is_box, overlaps
from lib.runtime.escapes import columns, printable, printable_lines
from lib.runtime.files import write_text
from lib.runtime.threads import in_threads

PROBLEM_KINDS = {
    "split": "splits that cannot be listed",
    "sequences": "sequences too few or too many",
    "names": "sequences with the name of another, or with results in the files of another",
    "annotation": "sequences whose annotations or frames cannot be read",
    "missing": "images that are missing",
    "short": "sequences that lack frames",
    "unreadable": "images that cannot be read",
    "unnamed": "images without a row",
    "size": "images of another size than the first of their sequence",
    "no_area": "boxes without area, though the target is not marked as absent",
    "no_number": "boxes with a number missing, though the target is visible",
    "outside": "boxes wholly outside the image, though the target is visible",
    "first": "sequences whose first frame shows no target, so that no tracker can begin",
    "fractions": "boxes no larger than a pixel in a whole sequence, like fractions of the image; pixels are wanted",
    "corners": "boxes that look like x1,y1,x2,y2 in a whole sequence; x,y,w,h is wanted",
    "no_mask": "visible targets without a mask",
    "bad_mask": "masks that cannot be read, have another size than their image, or no pixel",
    "mask_box": "masks whose box is not the annotated one",
}
EXAMPLES = 3
# Frames of a sequence, evenly spread, whose places and sizes are compared (``_are_corners``): between two of them a
# target moves by more than the rounding of its box.
_PARTS = 9
# The least overlap of the union of an annotated box and the box of its mask, if both show the same target.
_MIN_OVERLAP = 0.5

Shape, Fault = tuple[int, int], tuple[str, str]


class Problem(NamedTuple):
    """One kind of fault (a key of ``PROBLEM_KINDS``) in one sequence: the number of rows or images, and a line on the
    first.

    ``sequence`` is empty for a fault of the whole split.
    """

    kind: str
    sequence: str
    count: int
    detail: str


class OpenedFrame(NamedTuple):
    """An opened frame: its height and width, or None; and kind and detail of the fault of its image or mask."""

    shape: Shape | None
    fault: Fault | None = None


@dataclass
class SplitCheck:
    """The findings in one split.

    * ``found``: sequences whose annotations could be read; ``expected``: sequences of the official split, if known.
    * ``repeated``: sequences that a split before holds too, where their images and boxes were checked.
    * ``images``: images opened; an image that several objects of an image set share counts once.
    * ``absent``: why the split seems not to be on this disk, or empty.
    """

    split: str
    expected: int | None
    found: int = 0
    repeated: int = 0
    images: int = 0
    absent: str = ""
    problems: list[Problem] = field(default_factory=list)


@dataclass
class CheckReport:
    """The findings of ``check_dataset_on_disk``; ``stop`` is the interrupt that ended it early, if one did."""

    dataset: str
    root: Path
    quick: bool
    splits: list[SplitCheck]
    stop: KeyboardInterrupt | None = None

    @property
    def good(self) -> bool:
        """Whether everything was checked, and nothing is wrong."""
        return self.stop is None and not any(check.problems for check in self.splits)

    def to_json(self) -> dict[str, Any]:
        """All findings as plain values."""
        splits = [asdict(check) | {"problems": [one._asdict() for one in check.problems]} for check in self.splits]
        head = {"dataset": self.dataset, "root": str(self.root), "quick": self.quick}
        return head | {"complete": self.stop is None, "good": self.good, "splits": splits}

    def write(self, path: Path) -> None:
        """Write ``to_json`` to a file; ``OSError`` names it."""
        write_text(path, json.dumps(self.to_json(), indent=1) + "\n")

    def text(self) -> str:
        """A table of the splits, then for each kind of problem its count and the first examples."""
        rows, notes = [], []
        for check in self.splits:
            if check.absent:
                notes.append(f"{check.split}: not on this disk ({check.absent})")
                continue
            if check.repeated:
                notes.append(f"{check.split}: {check.repeated} of its sequences were checked with a split before it")
            expected = "-" if check.expected is None else f"{check.expected}"
            rows.append((check.split, f"{check.found}", expected, f"{check.images}"))
        lines = [f"{self.dataset} in {self.root}", *columns(("split", "found", "expected", "images"), rows), *notes]
        for check in self.splits:
            for kind, title in PROBLEM_KINDS.items():
                problems = [one for one in check.problems if one.kind == kind]
                lines += [f"{check.split}: {title}: {sum(one.count for one in problems)}"] if problems else []
                for one in problems[:EXAMPLES]:
                    count = f"{one.count} in " if one.count > 1 else ""
                    lines.append(f"  {count}{one.sequence}: {one.detail}" if one.sequence else f"  {one.detail}")
                if len(problems) > EXAMPLES:
                    lines.append(f"  and {len(problems) - EXAMPLES} sequences more")
        if self.stop:
            lines.append("interrupted; this is what was found until then")
        elif self.good:
            lines.append("nothing is wrong" + ("; no image was decoded" if self.quick else ""))
        return printable_lines(lines)


def check_dataset_on_disk(
    name: str,
    root: Path,
    splits: Iterable[str] = (),
    *,
    cache: Path | None = None,
    threads: int = 1,
    quick: bool = False,
    masks: bool = False,
    mask_folder: Path | None = None,
) -> CheckReport:
    """Read every sequence and every image of splits of the dataset whose files lie in ``root``.

    Without ``splits`` all splits are checked; one without any file on the disk is reported as absent, which is no
    fault. A sequence of several splits is checked with the first. Boxes may reach out of the image. Rows of an absent
    target (by the dataset's flags, by cover 0, or by zeros where it has no flags) may hold anything. ``quick`` takes
    sizes from the images' headers and decodes none. With ``masks`` each readable image with a visible target needs a
    mask that shows some of it: a file of ``mask_folder``, which is laid out as the dataset, or without that folder an
    outline in the annotations. For ``cache`` see ``Source``.

    Raises ``ValueError`` for an unknown dataset or split, for a root that is no folder, and if no split lies there.
    After a ``KeyboardInterrupt`` the report holds the findings until then.
    """
    dataset = find_dataset(name)
    if not Path(root).is_dir():
        raise ValueError(f"{root}: no such folder; name the folder of {name}")
    chosen = tuple(dict.fromkeys(splits))
    files = None if mask_folder is None else MaskFolder(mask_folder, open_source(root))
    listed = [_list_split(dataset, split, open_source(root, cache)) for split in chosen or dataset.splits]
    report = CheckReport(name, Path(root), quick, [check for check, _, _ in listed])
    seen: set[tuple] = set()
    try:
        for check, entries, _ in listed:
            sequences = _unseen(check, entries, seen)
            for sequence, frames in _opened(check, sequences, threads, quick, masks, files):
                check.problems += _check_sequence(sequence, frames, dataset.partial_folders)
    except KeyboardInterrupt as stop:
        report.stop = stop
    for check, entries, source in listed:
        # Entries of the root do not count: a reader that looks for folders there asks for every name.
        there = [key for key, stamp in source.stamps.items() if stamp is not None and "/" in key]
        nothing = not check.found and check.problems and all(map(source.is_folder, there))
        if nothing and not chosen and (report.stop is None or not entries):
            check.absent = check.problems[0].detail
            check.problems.clear()
    if all(check.absent for check in report.splits):
        raise ValueError(f"{root}: no split of {name} lies there ({report.splits[0].absent})")
    return report


def find_splits(name: str, root: Path) -> list[str]:
    """The splits of the dataset whose sequences can be listed in ``root``; ``ValueError`` if there are none."""
    dataset = find_dataset(name)
    listed = [_list_split(dataset, split, open_source(root)) for split in dataset.splits]
    found = [check.split for check, entries, _ in listed if entries]
    if not found:
        raise ValueError(f"{root}: no split of {name} lies there ({listed[0][0].problems[0].detail})")
    return found


def _list_split(dataset: Dataset, split: str, source: Source) -> tuple[SplitCheck, list[Entry], Source]:
    """The faults of the names and number of the sequences of a split, and its entries; ``source`` is its own."""
    check = SplitCheck(split, dataset.count(split))
    try:
        entries = list(dataset.entries(source, split))
    except ValueError as error:
        if split not in dataset.splits:
            raise
        entries = []
        check.problems.append(Problem("split", "", 1, str(error)))
    if entries and check.expected not in (None, len(entries)):
        detail = f"{len(entries)} are listed, the official split has {check.expected}"
        check.problems.append(Problem("sequences", "", abs(len(entries) - check.expected), detail))
    for one, other in clashing_names(entry.name for entry in entries):
        detail = f"its results would be written to the same files as those of {one}; rename it"
        check.problems.append(Problem("names", other, 1, detail))
    return check, entries, source


def _opened(
    check: SplitCheck, sequences: Iterable[Sequence], threads: int, quick: bool, masks: bool, files: MaskFolder | None
) -> Iterator[tuple[Sequence, list[OpenedFrame]]]:
    waiting: deque[Sequence] = deque()
    shared: dict[str, OpenedFrame] = {}  # of an image set, whose objects share images

    def frames() -> Iterator[tuple[Sequence, int]]:
        for sequence in sequences:
            waiting.append(sequence)
            yield from ((sequence, row) for row in range(len(sequence)))

    def open_frame(item: tuple[Sequence, int]) -> OpenedFrame:
        sequence, row = item
        location = sequence.frames[row]
        frame = shared.get(str(location)) or _open_one(location, quick)
        if sequence.image_set:
            shared[str(location)] = frame
        if masks and frame.shape and row < len(sequence.visible) and sequence.visible[row]:
            return OpenedFrame(frame.shape, _mask_fault(sequence, row, frame.shape, files))
        return frame

    opened = in_threads(open_frame, frames(), threads)
    for first in opened:
        sequence = waiting.popleft()
        found = [first, *islice(opened, len(sequence) - 1)]
        check.images = len(shared) if sequence.image_set else check.images + len(sequence)
        yield sequence, found


def _unseen(check: SplitCheck, entries: list[Entry], seen: set[tuple]) -> Iterator[Sequence]:
    """The sequences that can be read and are not in ``seen``, which gets them; objects of image sets are not noted."""
    for entry in tqdm(entries, printable(check.split), unit=" sequences", smoothing=0, disable=None):
        try:
            sequence = entry.read()
        except ValueError as error:
            problem = Problem("annotation", entry.name, 1, str(error))
            check.problems += {problem} - seen
            seen.add(problem)
            continue
        check.found += 1
        ends = [str(frame) for frame in (*sequence.frames[:1], *sequence.frames[-1:])]
        content = (entry.name, len(sequence), *ends, hash(np.asarray(sequence.boxes).tobytes()))
        if content in seen:
            check.repeated += 1
            continue
        if not sequence.image_set:
            seen.add(content)
        yield sequence


def _open_one(location: Location, quick: bool) -> OpenedFrame:
    try:
        image = open_image(location)
        return OpenedFrame(image.shape if quick else image.pixels().shape[:2])
    except ImageError as error:
        return OpenedFrame(None, ("missing" if _is_missing(error) else "unreadable", str(error)))


def _is_missing(error: ImageError) -> bool:
    return isinstance(error.__cause__, FileNotFoundError)


def _mask_fault(sequence: Sequence, row: int, shape: Shape, files: MaskFolder | None) -> Fault | None:
    name = sequence.frames[row].name
    if files is None and sequence.outline is None:
        return "no_mask", f"{name}: no outline, or a mere box"
    try:
        left, top, right, bottom = mask_extent(find_mask(sequence, row, shape, files))
    except ImageError as error:
        return "no_mask" if _is_missing(error) else "bad_mask", str(error)
    found, stated = np.array([[left, top, right - left, bottom - top]]), np.asarray(sequence.boxes[row : row + 1])
    if not is_box(found)[0]:
        return "bad_mask", f"{name}: the outline has no pixel"
    if overlaps(found, stated)[0] >= _MIN_OVERLAP:
        return None
    return "mask_box", f"{name}: the mask's box is {_words(found[0])}, the annotated one {_words(stated[0])}"


def _words(box: np.ndarray) -> str:
    return " ".join(f"{axis}={value:g}" for axis, value in zip("xywh", box, strict=True))


def _check_sequence(sequence: Sequence, opened: list[OpenedFrame], partial_folder: bool) -> Iterator[Problem]:
    frames, boxes = sequence.frames, np.asarray(sequence.boxes)
    if SHORTFALL in sequence.meta:
        yield Problem("short", sequence.name, 1, sequence.meta[SHORTFALL])
    faults: dict[str, list[str]] = {}
    for kind, detail in (frame.fault for frame in opened if frame.fault):
        faults.setdefault(kind, []).append(detail)
    for kind, details in faults.items():
        yield Problem(kind, sequence.name, len(details), details[0])
    if not partial_folder and isinstance(frames.folder, Path):
        # A packed dataset holds no images without a row.
        unnamed: set[str] = set()
        with suppress(OSError):  # images of a folder that is missing or unreadable are so too, each by its frame
            unnamed = set(filter(is_image, os.listdir(frames.folder))).difference(map(str, frames.names))
        if unnamed:
            yield Problem("unnamed", sequence.name, len(unnamed), f"{frames.folder / min(unnamed)}")
    shapes = {row: frame.shape for row, frame in enumerate(opened) if frame.shape}
    first = next(iter(shapes), 0)
    if other := [row for row, shape in shapes.items() if shape != shapes[first]]:
        (height, width), (high, wide) = shapes[first], shapes[other[0]]
        detail = f"{frames[other[0]].name} is {wide} x {high}, {frames[first].name} {width} x {height}"
        yield Problem("size", sequence.name, len(other), detail)
    assert len(boxes) in (1, len(frames)), "readers give a box for each frame, or the first one's alone"
    for kind, wrong in _wrong_boxes(sequence, boxes, shapes):
        if wrong.any():
            row = int(np.argmax(wrong))
            yield Problem(kind, sequence.name, int(wrong.sum()), f"{frames[row].name}: {_words(boxes[row])}")


def _wrong_boxes(sequence: Sequence, boxes: np.ndarray, shapes: dict[int, Shape]) -> Iterator[tuple[str, np.ndarray]]:
    """Kinds of wrong boxes, and bool ``[N]`` the rows that hold one; ``shapes`` are those of the readable frames."""
    absent = ~boxes.any(axis=1) if sequence.absent is None else np.asarray(sequence.absent, bool)
    if sequence.cover is not None:
        absent = absent | (sequence.cover == 0)
    visible, area = np.asarray(sequence.visible, bool), is_box(boxes)
    finite, unannotated = np.isfinite(boxes).all(axis=1), np.isnan(boxes).all(axis=1)
    yield "no_area", finite & ~area & (visible | ~absent)
    yield "no_number", ~finite & (visible | ~unannotated)
    # Training sets with flags of absence may begin without the target.
    begins = not sequence.image_set and sequence.absent is None and sequence.cover is None
    yield "first", ~area & (absent | unannotated) & (np.arange(len(boxes)) == 0) & begins
    sizes = np.array([shapes.get(row, (np.inf, np.inf))[::-1] for row in range(len(boxes))]).reshape(-1, 2)
    start, size = np.hsplit(np.where(area[:, None], boxes, 0), 2)
    yield "outside", area & visible & ((start >= sizes) | (start + size <= 0)).any(axis=1)
    # An object of a pixel is no rarity among images; there the place has to be a fraction too.
    shown = boxes[area]
    fractions = len(shown) > 0 and (shown[:, 0 if sequence.image_set else 2 :] <= 1).all()
    yield "fractions", area & fractions
    yield "corners", area & _are_corners(shown, sizes[area])


def _are_corners(boxes: np.ndarray, sizes: np.ndarray) -> bool:
    """Whether rows ``[N, 4]`` in images of width and height ``sizes`` ``[N, 2]`` look like x1,y1,x2,y2, not x,y,w,h.

    All of them are corners of a box within the image. In addition most of them reach out of it by more than a pixel as
    x,y,w,h, or that size changes with the place, more than twice as much as the size between the corners.
    """
    start, end = boxes[:, :2], boxes[:, 2:]
    if len(boxes) == 0 or not ((end > start) & (end <= sizes + 1)).all():
        return False
    if (start + end > sizes + 1).any(axis=1).mean() > 0.5:
        return True
    parts = np.linspace(0, len(boxes) - 1, min(len(boxes), _PARTS)).astype(int)
    of_end, of_size = (np.abs(np.diff(values[parts], axis=0)).sum() for values in (end, end - start))
    return len(parts) > 2 and of_end > len(parts) and of_end > 2 * of_size
