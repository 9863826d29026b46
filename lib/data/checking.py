"""What is wrong with a dataset on disk: its sequences, their annotations and every image, as a table and as JSON."""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from lib.data.datasets.annotations import has_area
from lib.data.datasets.order import is_image
from lib.data.datasets.record import Entry
from lib.data.datasets.registry import find_dataset
from lib.data.decoding.images import ImageError, open_image
from lib.data.names import find_meeting
from lib.data.stores.packed import open_source
from lib.data.stores.source import Location, Source, Stamp
from lib.data.types import SHORTFALL, FrameFiles, Sequence
from lib.runtime.children import Pool
from lib.runtime.escapes import printable, printable_lines
from lib.runtime.files import write_text

KINDS = {
    "split": "splits that cannot be listed",
    "sequences": "sequences too few or too many",
    "names": "sequences whose name another bears, or whose results would meet another's",
    "annotation": "sequences whose annotations or frames cannot be read",
    "rows": "sequences whose rows do not match their frames",
    "missing": "images that are missing",
    "short": "sequences that lack frames",
    "unreadable": "images that cannot be read",
    "unnamed": "images that no row names",
    "size": "images of another size than their sequence's first",
    "no_area": "boxes without area, though the target is not said to be absent",
    "no_number": "boxes with a number missing, though the target is visible",
    "outside": "boxes wholly outside the image, though the target is visible",
    "first": "sequences whose first frame shows no target, so that no tracker can begin",
    "fractions": "boxes no larger than a pixel in all of a sequence, as fractions of the image are; pixels are wanted",
    "corners": "boxes that look like x1,y1,x2,y2 in all of a sequence; x,y,w,h is wanted",
    "no_mask": "visible targets without a mask",
    "bad_mask": "masks that cannot be read, have another size than their image, or no pixel",
    "mask_box": "masks whose box is not the annotated one",
}
EXAMPLES = 3
# In so many frames, evenly over a sequence, places and sizes are compared (``_are_corners``): between two of them a
# target moves by more than its box is rounded by.
_PARTS = 9
# Images that a process is handed at a time: worth the handing over, and few enough to spread one long video.
PIECE = 64

Shape = tuple[int, int]


class Problem(NamedTuple):
    """One kind of fault (a key of ``KINDS``) in one sequence: how many rows or images have it, and a line on the first.

    ``sequence`` is empty where the fault is the split's.
    """

    kind: str
    sequence: str
    count: int
    detail: str


@dataclass
class SplitCheck:
    """What was found of one split.

    * ``found``: sequences whose annotations could be read; ``expected``: those of the official split, None if unknown.
    * ``repeated``: those of them that a split before it holds too, where their images and boxes were looked at.
    * ``images``: how many images were opened; one that several objects of an image set share counts once.
    * ``absent``: why the split is taken not to lie on this disk, or empty.
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
    """What ``check_dataset_on_disk`` found; ``complete`` is False if it was interrupted."""

    dataset: str
    root: Path
    quick: bool
    splits: list[SplitCheck]
    complete: bool = True

    @property
    def good(self) -> bool:
        """Whether everything was looked at and nothing is wrong."""
        return self.complete and not any(check.problems for check in self.splits)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values, each split with its fields and a list of its ``problems``."""
        return {
            "dataset": self.dataset,
            "root": str(self.root),
            "quick": self.quick,
            "complete": self.complete,
            "good": self.good,
            "splits": [
                asdict(check) | {"problems": [problem._asdict() for problem in check.problems]} for check in self.splits
            ],
        }

    def write(self, path: Path) -> None:
        """Write ``to_json`` to a file; ``OSError`` names it."""
        write_text(path, json.dumps(self.to_json(), indent=1) + "\n")

    def text(self) -> str:
        """A table of the splits, then a line for each kind of problem with its count and the first examples."""
        rows = [("split", "found", "expected", "images")]
        notes = []
        for check in self.splits:
            if check.absent:
                notes.append(f"{check.split}: not on this disk ({check.absent})")
                continue
            if check.repeated:
                notes.append(f"{check.split}: {check.repeated} of its sequences were checked with a split before it")
            expected = "-" if check.expected is None else f"{check.expected}"
            rows.append((check.split, f"{check.found}", expected, f"{check.images}"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"{self.dataset} in {self.root}"]
        for first, *others in rows:
            numbers = (f"{text:>{width}}" for text, width in zip(others, widths[1:], strict=True))
            lines.append("  ".join((f"{first:<{widths[0]}}", *numbers)))
        lines += notes
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
    processes: int = 1,
    quick: bool = False,
) -> CheckReport:
    """Read every sequence and every image of splits of the dataset whose files lie in ``root``.

    Without ``splits`` all that lie there: a split of which no file is there is reported as absent, which is no fault.
    A sequence that several splits hold is looked at with the first of them. Boxes may reach out of the image. Rows
    where the dataset says that the target is absent (its flags, cover 0, or zeros for a box where it has no flags) may
    hold anything. ``quick`` opens the images and takes their sizes from the headers, but decodes none. ``cache`` is
    where a reader keeps what it makes (``Source``).

    Raises ``ValueError`` for an unknown dataset or split, for a root that is no folder, and if no split lies there.
    Ctrl-C ends the work; the report holds what was found until then.
    """
    dataset = find_dataset(name)
    if not Path(root).is_dir():
        raise ValueError(f"{root}: no such folder; name the folder of {name}")
    chosen = tuple(dict.fromkeys(splits))
    source = open_source(root, cache)
    listed = [_list_split(name, split, source) for split in chosen or dataset.splits]
    report = CheckReport(name, Path(root), quick, [split.check for split in listed])
    seen: set[tuple] = set()
    try:
        with Pool(processes if processes > 1 else 0, "opened images", partial(cv2.setNumThreads, 1)) as pool:
            for split in listed:
                if split.entries:
                    source.stamps.clear()
                    _read_split(split, pool, quick, seen, unnamed=not dataset.partial_folders)
                    split.asked.update(source.stamps)
    except KeyboardInterrupt:
        report.complete = False
    for split in listed:
        if not chosen and (report.complete or not split.entries) and split.is_absent(source):
            split.check.absent = split.check.problems[0].detail
            split.check.problems.clear()
        else:
            split.check.problems[:0] = _compare_names(split)
    if all(check.absent for check in report.splits):
        raise ValueError(f"{root}: no split of {name} lies there ({report.splits[0].absent})")
    return report


def find_splits(name: str, root: Path) -> list[str]:
    """The splits of the dataset whose sequences can be listed in ``root``; ``ValueError`` if there are none."""
    source = open_source(root)
    listed = [_list_split(name, split, source) for split in find_dataset(name).splits]
    found = [split.check.split for split in listed if split.entries]
    if not found:
        raise ValueError(f"{root}: no split of {name} lies there ({listed[0].check.problems[0].detail})")
    return found


class _Split:
    """A split as listed, and what is known of it; ``asked`` are the stamps of what its reader asked for."""

    def __init__(self, check: SplitCheck) -> None:
        self.check = check
        self.entries: list[Entry] = []
        self.asked: dict[str, Stamp] = {}

    def is_absent(self, source: Source) -> bool:
        """Whether nothing could be read because no file that was asked for is there, only folders at most."""
        # Not what lies in the root itself: whoever looks for folders there asks of every name.
        there = [key for key, stamp in self.asked.items() if stamp is not None and "/" in key]
        return not self.check.found and bool(self.check.problems) and all(map(source.is_folder, there))


def _list_split(name: str, split: str, source: Source) -> _Split:
    dataset = find_dataset(name)
    listed = _Split(SplitCheck(split, dataset.expected.get(split)))
    source.stamps.clear()
    try:
        listed.entries = list(dataset.entries(source, split))
    except ValueError as error:
        if split not in dataset.splits:
            raise
        listed.check.problems.append(Problem("split", "", 1, str(error)))
    listed.asked.update(source.stamps)
    return listed


def _compare_names(split: _Split) -> Iterator[Problem]:
    """What the names alone tell: too many or too few for the official split, or one of them twice."""
    listed, expected = len(split.entries), split.check.expected
    if listed and expected is not None and listed != expected:
        detail = f"{listed} are listed, the official split has {expected}"
        yield Problem("sequences", "", abs(listed - expected), detail)
    counts = Counter(entry.name for entry in split.entries)
    if len(counts) < listed:
        for name, count in counts.items():
            if count > 1:
                yield Problem("names", name, count - 1, f"{count} sequences bear this name")
    for one, other in find_meeting(counts.keys()):
        yield Problem("names", other, 1, f"its results would be written to the same files as those of {one}; rename it")


def _read_split(split: _Split, pool: Pool, quick: bool, seen: set[tuple], unnamed: bool) -> None:
    """Fill the split's check, but for what ``seen`` says was looked at before.

    Annotations are read as images are asked for, a little ahead of those that are open. A sequence waits with the
    places that its frames have among all images of the split, until these are there.
    """
    check, folders = split.check, _Folders()
    waiting: deque[tuple[Sequence, range]] = deque()
    results: dict[int, Shape | Problem] = {}
    bar = tqdm(total=len(split.entries), desc=printable(check.split), unit="sequence", smoothing=0, disable=None)

    def frames() -> Iterator[Location]:
        shared: dict[str, int] = {}
        count = 0
        for entry in split.entries:
            try:
                sequence = entry.read()
            except ValueError as error:
                if _is_new((entry.name, str(error)), seen):
                    check.problems.append(Problem("annotation", entry.name, 1, str(error)))
                bar.update()
                continue
            check.found += 1
            if not sequence.image_set and not _is_new(_content(sequence), seen):
                check.repeated += 1
                bar.update()
                continue
            if unnamed:
                folders.see(sequence)
            place = shared.setdefault(str(sequence.frames[0]), count) if sequence.image_set else count
            waiting.append((sequence, range(place, place + len(sequence.frames))))
            if place == count:
                count += len(sequence.frames)
                yield from sequence.frames

    def finish(opened: int) -> None:
        while waiting and waiting[0][1].stop <= opened:
            sequence, places = waiting.popleft()
            check.problems += _check_sequence(sequence, [results[place] for place in places])
            if not sequence.image_set:
                for place in places:
                    del results[place]
            bar.set_postfix_str(f"{check.images} images", refresh=False)
            bar.update()

    located = frames()
    pieces = iter(lambda: list(islice(located, PIECE)), [])
    with bar, closing(pool.each(partial(_open_piece, quick=quick), pieces)) as opened:
        for place, result in enumerate(chain.from_iterable(opened)):
            results[place] = result
            check.images += 1
            finish(check.images)
        finish(check.images)
    check.problems += folders.unnamed()


def _is_new(item: tuple, seen: set[tuple]) -> bool:
    new = item not in seen
    seen.add(item)
    return new


def _content(sequence: Sequence) -> tuple:
    """Equal for two sequences of the same frames and boxes."""
    ends = [str(frame) for frame in (*sequence.frames[:1], *sequence.frames[-1:])]
    return sequence.name, len(sequence.frames), *ends, hash(np.asarray(sequence.boxes).tobytes())


def _check_sequence(sequence: Sequence, results: list[Shape | Problem]) -> Iterator[Problem]:
    """The problems of one sequence; ``results`` are those of its frames."""
    frames, boxes = sequence.frames, np.asarray(sequence.boxes)
    if SHORTFALL in sequence.meta:
        yield Problem("short", sequence.name, 1, sequence.meta[SHORTFALL])
    for kind in ("missing", "unreadable"):
        failed = [result for result in results if isinstance(result, Problem) and result.kind == kind]
        if failed:
            yield Problem(kind, sequence.name, len(failed), failed[0].detail)
    shapes = {number: result for number, result in enumerate(results) if not isinstance(result, Problem)}
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
    for kind, wrong in _degenerate(sequence, boxes, shapes):
        if wrong.any():
            row = int(np.argmax(wrong))
            box = " ".join(f"{axis}={value:g}" for axis, value in zip("xywh", boxes[row], strict=True))
            yield Problem(kind, sequence.name, int(wrong.sum()), f"{frames[row].name}: {box}")


def _degenerate(sequence: Sequence, boxes: np.ndarray, shapes: dict[int, Shape]) -> Iterator[tuple[str, np.ndarray]]:
    """Kinds of box that show no target, and bool ``[N]`` which rows hold one; ``shapes`` are of the readable frames."""
    said = ~boxes.any(axis=1) if sequence.absent is None else np.asarray(sequence.absent, bool)
    if sequence.cover is not None:
        said = said | (sequence.cover == 0)
    finite, visible = np.isfinite(boxes).all(axis=1), np.asarray(sequence.visible, bool)
    area = has_area(boxes)
    yield "no_area", finite & ~area & (visible | ~said)
    # A row all NaN is the way to say "not annotated", which a visible target cannot be.
    yield "no_number", ~finite & (visible | ~np.isnan(boxes).all(axis=1))
    width, height = np.full((2, len(boxes)), np.inf)
    for row in range(len(boxes)):
        height[row], width[row] = shapes.get(row, (np.inf, np.inf))
    x, y, w, h = boxes.T
    # Training sets with flags of absence may begin without the target.
    begins = not sequence.image_set and sequence.absent is None and sequence.cover is None
    yield "first", ~area & (said | np.isnan(boxes).all(axis=1)) & (np.arange(len(boxes)) == 0) & begins
    yield "outside", area & visible & ((x >= width) | (y >= height) | (x + w <= 0) | (y + h <= 0))
    shown = boxes[area]
    # An object of a pixel is no rarity among images; there the place has to be a fraction too.
    fractions = len(shown) > 0 and (shown[:, 0 if sequence.image_set else 2 :] <= 1).all()
    yield "fractions", area & fractions
    yield "corners", area & _are_corners(shown, np.stack((width, height), axis=1)[area])


def _are_corners(boxes: np.ndarray, sizes: np.ndarray) -> bool:
    """Whether rows ``[N, 4]`` in images of width and height ``sizes`` [N, 2] look like x1,y1,x2,y2 rather than x,y,w,h.

    All of them are corners of a box within the image, and either most reach out of it by more than a pixel as x,y,w,h,
    or what would be the size changes with the place, more than twice as much as the size between the corners does.
    """
    start, end = boxes[:, :2], boxes[:, 2:]
    if len(boxes) == 0 or not ((end > start) & (end <= sizes + 1)).all():
        return False
    if (start + end > sizes + 1).any(axis=1).mean() > 0.5:
        return True
    parts = np.linspace(0, len(boxes) - 1, min(len(boxes), _PARTS)).astype(int)
    of_end, of_size = (np.abs(np.diff(values[parts], axis=0)).sum() for values in (end, end - start))
    return len(parts) > 2 and of_end > len(parts) and of_end > 2 * of_size


class _Folders:
    """The images of folders, each listed once, and which of them no sequence has named."""

    def __init__(self) -> None:
        self._left: dict[Path, set[str]] = {}
        self._first: dict[Path, str] = {}

    def see(self, sequence: Sequence) -> None:
        """Strike out the frames of a sequence; a packed dataset holds no frame but those that rows name."""
        frames = sequence.frames
        if not (isinstance(frames, FrameFiles) and isinstance(frames.folder, Path)):
            return
        folder = frames.folder
        if folder not in self._left:
            self._first[folder] = sequence.name
            self._left[folder] = {name for name in _names(folder) if is_image(name)}
        self._left[folder].difference_update(map(str, frames.names))

    def unnamed(self) -> Iterator[Problem]:
        """The images left over, by folder."""
        for folder, left in self._left.items():
            if left:
                yield Problem("unnamed", self._first[folder], len(left), f"{folder / min(left)}")


def _names(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError:  # its images are reported as missing, each by its frame
        return []


def _open_piece(frames: list[Location], quick: bool) -> list[Shape | Problem]:
    return [_open_one(frame, quick) for frame in frames]


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
