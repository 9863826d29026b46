"""Faults of a dataset on disk: its sequences, their annotations, every image and mask, as a table and as JSON."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from lib.data.datasets.annotations import has_area
from lib.data.datasets.order import is_image
from lib.data.datasets.record import Dataset, Entry, clashing_names
from lib.data.datasets.registry import find_dataset
from lib.data.decoding.images import ImageError, open_image
from lib.data.files.source import Source
from lib.data.mask_checking import find_fault
from lib.data.masks import MaskFolder
from lib.data.stores.packed import open_source
from lib.data.types import SHORTFALL, FrameFiles, Location, Sequence
from lib.runtime.escapes import columns, printable, printable_lines
from lib.runtime.files import write_text
from lib.runtime.threads import in_threads

KINDS = {
    "split": "splits that cannot be listed",
    "sequences": "sequences too few or too many",
    "names": "sequences with the name of another, or with results in the files of another",
    "annotation": "sequences whose annotations or frames cannot be read",
    "rows": "sequences whose rows do not match their frames",
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
_OBJECTS = 500  # of an image set, whose images are opened together

Shape = tuple[int, int]


class Problem(NamedTuple):
    """One kind of fault (a key of ``KINDS``) in one sequence: the number of rows or images, and a line on the first.

    ``sequence`` is empty for a fault of the whole split.
    """

    kind: str
    sequence: str
    count: int
    detail: str


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
    """The findings of ``check_dataset_on_disk``; ``complete`` is False after an interrupt."""

    dataset: str
    root: Path
    quick: bool
    splits: list[SplitCheck]
    complete: bool = True

    @property
    def good(self) -> bool:
        """Whether everything was checked and nothing is wrong."""
        return self.complete and not any(check.problems for check in self.splits)

    def to_json(self) -> dict[str, Any]:
        """All findings as plain values."""
        splits = [asdict(check) | {"problems": [one._asdict() for one in check.problems]} for check in self.splits]
        head = {"dataset": self.dataset, "root": str(self.root), "quick": self.quick}
        return head | {"complete": self.complete, "good": self.good, "splits": splits}

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
            for kind, title in KINDS.items():
                lines += _kind_lines(f"{check.split}: {title}", [one for one in check.problems if one.kind == kind])
        if not self.complete:
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
    After Ctrl-C the report holds the findings until then.
    """
    dataset = find_dataset(name)
    if not Path(root).is_dir():
        raise ValueError(f"{root}: no such folder; name the folder of {name}")
    chosen = tuple(dict.fromkeys(splits))
    files = None if mask_folder is None else MaskFolder(mask_folder, open_source(root))
    listed = [_list_split(dataset, split, open_source(root, cache)) for split in chosen or dataset.splits]
    report = CheckReport(name, Path(root), quick, [split.check for split in listed])
    seen: set[tuple] = set()
    try:
        for split in listed:
            for sequence, opened in _opened(split, seen, quick, threads):
                split.check.problems += _check_sequence(sequence, opened)
                if masks:
                    split.check.problems += _check_masks(sequence, opened, files, threads)
            if not dataset.partial_folders:
                split.check.problems += split.unnamed_images()
    except KeyboardInterrupt:
        report.complete = False
    for split in listed:
        if not chosen and (report.complete or not split.entries) and split.is_absent():
            split.check.absent = split.check.problems[0].detail
            split.check.problems.clear()
    if all(check.absent for check in report.splits):
        raise ValueError(f"{root}: no split of {name} lies there ({report.splits[0].absent})")
    return report


def find_splits(name: str, root: Path) -> list[str]:
    """The splits of the dataset whose sequences can be listed in ``root``; ``ValueError`` if there are none."""
    dataset = find_dataset(name)
    listed = [_list_split(dataset, split, open_source(root)) for split in dataset.splits]
    found = [split.check.split for split in listed if split.entries]
    if not found:
        raise ValueError(f"{root}: no split of {name} lies there ({listed[0].check.problems[0].detail})")
    return found


class _Split(NamedTuple):
    """A split as listed, with a ``source`` of its own. ``folders`` hold the first sequence of each folder, and its
    images that no sequence has named."""

    check: SplitCheck
    entries: list[Entry]
    source: Source
    folders: dict[Path, tuple[str, set[str]]]

    def is_absent(self) -> bool:
        """Whether nothing could be read and no file that the reader asked for is there, only folders at most."""
        # Entries of the root do not count: a reader that looks for folders there asks for every name.
        there = [key for key, stamp in self.source.stamps.items() if stamp is not None and "/" in key]
        return not self.check.found and bool(self.check.problems) and all(map(self.source.is_folder, there))

    def mark_named(self, sequence: Sequence) -> None:
        """Note that the frames of a sequence have rows. A packed dataset holds no other frames."""
        frames = sequence.frames
        if not (isinstance(frames, FrameFiles) and isinstance(frames.folder, Path)):
            return
        folder = frames.folder
        if folder not in self.folders:
            # The images of a folder that is not there are reported as missing, each by its frame.
            names = os.listdir(folder) if folder.is_dir() else ()
            self.folders[folder] = sequence.name, set(filter(is_image, names))
        self.folders[folder][1].difference_update(map(str, frames.names))

    def unnamed_images(self) -> Iterator[Problem]:
        """The images without a row, by folder."""
        for folder, (sequence, left) in self.folders.items():
            if left:
                yield Problem("unnamed", sequence, len(left), f"{folder / min(left)}")


def _list_split(dataset: Dataset, split: str, source: Source) -> _Split:
    """The entries of a split, and the faults of their names and number."""
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
    counts = Counter(entry.name for entry in entries)
    for name, count in counts.items():
        if count > 1:
            check.problems.append(Problem("names", name, count - 1, f"{count} sequences have this name"))
    for one, other in clashing_names(counts.keys()):
        detail = f"its results would be written to the same files as those of {one}; rename it"
        check.problems.append(Problem("names", other, 1, detail))
    return _Split(check, entries, source, {})


def _opened(
    split: _Split, seen: set[tuple], quick: bool, threads: int
) -> Iterator[tuple[Sequence, list[Shape | Problem]]]:
    """Each sequence that is not in ``seen``, and the height and width of its images, or their faults."""
    shared: dict[str, Shape | Problem] = {}  # images of an image set
    for sequences in _batches(split, seen):
        opened = shared if sequences[0].image_set else {}
        frames = {str(frame): frame for sequence in sequences for frame in sequence.frames}
        new = {key: frame for key, frame in frames.items() if key not in opened}
        split.check.images += len(new)
        opened |= zip(new, in_threads(partial(_open_one, quick=quick), new.values(), threads), strict=True)
        for sequence in sequences:
            yield sequence, [opened[str(frame)] for frame in sequence.frames]


def _batches(split: _Split, seen: set[tuple]) -> Iterator[list[Sequence]]:
    """The sequences that are not in ``seen``: a video each time, or many objects of an image set."""
    check = split.check
    objects: list[Sequence] = []
    for entry in tqdm(split.entries, printable(check.split), unit=" sequences", smoothing=0, disable=None):
        try:
            sequence = entry.read()
        except ValueError as error:
            if _is_new((entry.name, str(error)), seen):
                check.problems.append(Problem("annotation", entry.name, 1, str(error)))
            continue
        check.found += 1
        if sequence.image_set:
            objects.append(sequence)
            if len(objects) == _OBJECTS:
                yield objects
                objects = []
        elif _is_new(_content(sequence), seen):
            split.mark_named(sequence)
            yield [sequence]
        else:
            check.repeated += 1
    if objects:
        yield objects


def _is_new(item: tuple, seen: set[tuple]) -> bool:
    new = item not in seen
    seen.add(item)
    return new


def _content(sequence: Sequence) -> tuple:
    """Equal for two sequences of the same frames and boxes."""
    ends = [str(frame) for frame in (*sequence.frames[:1], *sequence.frames[-1:])]
    return sequence.name, len(sequence.frames), *ends, hash(np.asarray(sequence.boxes).tobytes())


def _check_sequence(sequence: Sequence, opened: list[Shape | Problem]) -> Iterator[Problem]:
    """The problems of one sequence with these images."""
    frames, boxes = sequence.frames, np.asarray(sequence.boxes)
    if SHORTFALL in sequence.meta:
        yield Problem("short", sequence.name, 1, sequence.meta[SHORTFALL])
    for kind in ("missing", "unreadable"):
        failed = [image for image in opened if isinstance(image, Problem) and image.kind == kind]
        if failed:
            yield Problem(kind, sequence.name, len(failed), failed[0].detail)
    shapes = {number: image for number, image in enumerate(opened) if not isinstance(image, Problem)}
    if shapes:
        first = next(iter(shapes))
        other = [number for number, shape in shapes.items() if shape != shapes[first]]
        if other:
            (height, width), (high, wide) = shapes[first], shapes[other[0]]
            detail = f"{frames[other[0]].name} is {wide} x {high}, {frames[first].name} {width} x {height}"
            yield Problem("size", sequence.name, len(other), detail)
    flags = {"visible": sequence.visible, "absent": sequence.absent, "cover": sequence.cover}
    numbers = {"boxes": len(boxes)} | {name: len(flag) for name, flag in flags.items() if flag is not None}
    if len(boxes) not in (1, len(frames)) or len(set(numbers.values())) > 1:
        detail = ", ".join(f"{number} {name}" for name, number in numbers.items()) + f" for {len(frames)} frames"
        yield Problem("rows", sequence.name, max(abs(number - len(frames)) for number in numbers.values()), detail)
        return
    for kind, wrong in _wrong_boxes(sequence, boxes, shapes):
        if wrong.any():
            row = int(np.argmax(wrong))
            box = " ".join(f"{axis}={value:g}" for axis, value in zip("xywh", boxes[row], strict=True))
            yield Problem(kind, sequence.name, int(wrong.sum()), f"{frames[row].name}: {box}")


def _wrong_boxes(sequence: Sequence, boxes: np.ndarray, shapes: dict[int, Shape]) -> Iterator[tuple[str, np.ndarray]]:
    """Kinds of wrong boxes, and bool ``[N]`` the rows that hold one; ``shapes`` are those of the readable frames."""
    absent = ~boxes.any(axis=1) if sequence.absent is None else np.asarray(sequence.absent, bool)
    if sequence.cover is not None:
        absent = absent | (sequence.cover == 0)
    visible, area = np.asarray(sequence.visible, bool), has_area(boxes)
    finite, unannotated = np.isfinite(boxes).all(axis=1), np.isnan(boxes).all(axis=1)
    yield "no_area", finite & ~area & (visible | ~absent)
    yield "no_number", ~finite & (visible | ~unannotated)
    # Training sets with flags of absence may begin without the target.
    begins = not sequence.image_set and sequence.absent is None and sequence.cover is None
    yield "first", ~area & (absent | unannotated) & (np.arange(len(boxes)) == 0) & begins
    sizes = np.array([shapes.get(row, (np.inf, np.inf))[::-1] for row in range(len(boxes))]).reshape(-1, 2)
    start, end = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    yield "outside", area & visible & ((start >= sizes) | (end <= 0)).any(axis=1)
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


def _check_masks(
    sequence: Sequence, opened: list[Shape | Problem], files: MaskFolder | None, threads: int
) -> Iterator[Problem]:
    """The problems of the masks of a sequence with these images, one for each kind."""
    rows = zip(np.asarray(sequence.visible, bool).tolist(), opened, strict=False)
    shown = [(row, image) for row, (visible, image) in enumerate(rows) if visible and not isinstance(image, Problem)]
    found = in_threads(lambda image: find_fault(sequence, *image, files), shown, threads)
    details: dict[str, list[str]] = {}
    for kind, detail in filter(None, found):
        details.setdefault(kind, []).append(detail)
    for kind, lines in details.items():
        yield Problem(kind, sequence.name, len(lines), lines[0])


def _open_one(frame: Location, quick: bool) -> Shape | Problem:
    try:
        image = open_image(frame)
        return image.shape if quick else image.pixels().shape[:2]
    except ImageError as error:
        kind = "missing" if isinstance(error.__cause__, FileNotFoundError) else "unreadable"
        return Problem(kind, "", 1, str(error))


def _kind_lines(title: str, problems: list[Problem]) -> list[str]:
    if not problems:
        return []
    lines = [f"{title}: {sum(problem.count for problem in problems)}"]
    for problem in problems[:EXAMPLES]:
        count = f"{problem.count} in " if problem.count > 1 else ""
        lines.append(f"  {count}{problem.sequence}: {problem.detail}" if problem.sequence else f"  {problem.detail}")
    if len(problems) > EXAMPLES:
        lines.append(f"  and {len(problems) - EXAMPLES} sequences more")
    return lines
