"""The annotations of a dataset: read from its texts once, then kept in a file that all processes map."""

import functools
import hashlib
import itertools
import json
import logging
import time
from collections import abc
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from lib.data.datasets.registry import find_dataset
from lib.data.files.source import Source
from lib.data.sampling import MIN_FRAMES, MIN_VISIBLE, visible_frames
from lib.data.stores.columns import Columns, DamagedFileError, Texts, open_columns, write_columns
from lib.data.stores.packed import open_source
from lib.data.types import SHORTFALL, FrameFiles, NumberedNames, Outline, Sequence
from lib.runtime.escapes import file_name, printable
from lib.runtime.json_text import parse_json

logger = logging.getLogger(__name__)

# The columns of an index: a text and a number a sequence, and several rows a sequence, as no rows in the smallest type
# that may hold them.
_TEXTS = ("name", "dataset", "folder", "pattern", "listed", "meta")
_NUMBERS = {"frames": np.int64, "first": np.int64, "image_set": bool}
_ROWS = {
    "boxes": np.empty((0, 4), dtype=np.float32),
    "visible": np.empty(0, dtype=bool),
    "cover": np.empty(0, dtype=np.int8),
    "absent": np.empty(0, dtype=bool),
    "numbers": np.empty(0, dtype=np.float32),
    "rings": np.empty(0, dtype=np.int32),
}
_READERS = [Path(__file__).parents[1] / name for name in ("datasets", "files")]
_BETWEEN_FILES = "\0"  # no file's name can hold it


def open_dataset(name: str, split: str, root: Path, cache: Path) -> "SequenceIndex":
    """The sequences of a split of the dataset whose files lie in ``root``.

    They are kept in an index in ``cache / indices``. It is valid until one of the files and folders that the reader
    asked for, or a file of ``lib.data.datasets`` and ``lib.data.files``, changes. A damaged index is made again. Lost
    frames are logged each time. Raises ``ValueError`` for data that cannot be read, and for a cache that cannot be
    written.
    """
    root, cache = Path(root).absolute(), Path(cache).absolute()
    source = open_source(root, cache)
    about = {
        "dataset": name,
        "split": split,
        "root": str(root),
        "readers": _readers(),
    }
    digest = hashlib.sha256(json.dumps([name, split, str(root)]).encode()).hexdigest()
    path = cache / "indices" / f"{file_name(f'{name}-{split}')}-{digest[:16]}.npz"
    start, done = time.monotonic(), "opened"
    columns = _open_valid(path, about, source)
    if columns is None:
        done = "read"
        arrays, shortfalls = _read(name, split, source)
        try:
            write_columns(path, about | {"shortfalls": shortfalls, "stamps": source.stamps}, arrays)
            columns = open_columns(path)
        except OSError as error:
            raise ValueError(
                f"{path.parent}: cannot keep the index of {name} there ({error.strerror}); make room or set another "
                "cache folder: cache in paths.yaml or the environment variable TRACKING_CACHE"
            ) from error
    index = SequenceIndex(columns._replace(about={}), source)  # workers need none of the stamps
    logger.info(
        "%s %s: %d sequences with %d frames %s in %.1f s; index %s (%.1f MB)",
        name, split, len(index), index.lengths.sum(), done, time.monotonic() - start, path,
        sum(array.nbytes for array in columns.arrays.values()) / 1e6,
    )  # fmt: skip
    for shortfall in columns.about["shortfalls"]:
        logger.warning("%s", shortfall)
    return index


class SequenceIndex(abc.Sequence):
    """The sequences of a split, by position. Each is made on access; its arrays are views of the file.

    Pickling passes on the path of the file: a worker maps the same memory. ``lengths`` int64 ``[n]`` are the numbers of
    frames, ``image_sets`` bool ``[n]`` marks image sets; ``names`` are those of the sequences.
    """

    def __init__(self, columns: Columns, source: Source) -> None:
        self.source = source
        self._columns, self._arrays = columns, columns.arrays
        self.lengths, self.image_sets = columns.arrays["frames"], columns.arrays["image_set"]
        self._texts = {name: Texts.from_columns(columns, name) for name in _TEXTS}
        self.names = self._texts["name"]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Sequence:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        index = int(index) % len(self)
        name, dataset, folder, pattern, listed, meta = (self._texts[column][index] for column in _TEXTS)
        if listed:
            names = listed.split(_BETWEEN_FILES)
        else:
            names = NumberedNames(pattern, int(self._arrays["first"][index]), int(self.lengths[index]))
        cover, absent = self._rows("cover", index), self._rows("absent", index)
        numbers, rings = self._rows("numbers", index), self._rows("rings", index)
        return Sequence(
            name,
            dataset,
            FrameFiles(self.source.location(folder), names),
            self._rows("boxes", index).astype(np.float64, copy=False),
            self._rows("visible", index),
            image_set=bool(self.image_sets[index]),
            cover=cover.astype(np.int64) if len(cover) else None,
            absent=absent if len(absent) else None,
            meta=parse_json(meta) if meta else {},
            outline=Outline(numbers, rings) if len(numbers) else None,
        )

    def _rows(self, column: str, index: int) -> np.ndarray:
        first, end = self._arrays[f"{column}.ends"][index : index + 2]
        return self._arrays[column][first:end]

    @property
    def outlined(self) -> np.ndarray:
        """bool ``[n]``: which sequences have an outline."""
        return np.diff(self._arrays["numbers.ends"]) > 0

    @property
    def annotation_sums(self) -> dict[str, int]:
        """CRCs that are equal for two indices with the same sequences, frames and boxes."""
        annotations = ("name.", "frames", "boxes", "visible")
        return {name: crc for name, crc in self._columns.sums.items() if name.startswith(annotations)}

    def classes(self) -> tuple[list[str], np.ndarray]:
        """The names of classes, and int64 ``[n]`` the number of each sequence's class; the name "" is no class."""
        metas = self._texts["meta"]
        texts = [metas.letters[first:end].tobytes() for first, end in itertools.pairwise(metas.ends.tolist())]
        names = [parse_json(text).get("class", "") if text else "" for text in texts]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        return list(numbers), np.array([numbers[name] for name in names], dtype=np.int64)[metas.which]

    def largest_areas(self) -> np.ndarray:
        """float64 ``[n]``: the area of the largest box of each sequence in square pixels, 0 without a box."""
        ends = self._arrays["boxes.ends"]
        areas = np.nan_to_num(self._arrays["boxes"][:, 2:].astype(np.float64).prod(axis=1))
        largest = np.zeros(len(self))
        filled = np.diff(ends) > 0
        largest[filled] = np.maximum.reduceat(areas, ends[:-1][filled]) if filled.any() else 0
        return largest

    def visible_counts(self, every: int = 1) -> np.ndarray:
        """int64 ``[n]``: how many frames of each sequence may be drawn (``lib.data.sampling.visible_frames``)."""
        visible, ends = self._arrays["visible"], self._arrays["visible.ends"]
        if every == 1:
            return np.diff(np.concatenate(([0], np.cumsum(visible, dtype=np.int64)))[ends])
        spans = itertools.pairwise(ends.tolist())
        return np.array([len(visible_frames(visible[first:end], every)) for first, end in spans], dtype=np.int64)

    def can_be_drawn(self, every: int = 1) -> np.ndarray:
        """bool ``[n]``: which sequences are long enough, with targets visible often enough; an image needs a usable
        box.

        Boxes of any size count: the lineage's code has a rule of 50 pixels for COCO, but no sampler applies it.
        """
        counts = self.visible_counts(every)
        videos = (self.lengths >= MIN_FRAMES) & (counts >= MIN_VISIBLE)
        return np.where(self.image_sets, counts > 0, videos)

    def __reduce__(self) -> tuple:
        return _open_again, (self._columns, self.source.root)


def _open_again(columns: Columns, root: Path) -> SequenceIndex:
    return SequenceIndex(columns, open_source(root))


def _open_valid(path: Path, about: dict[str, Any], source: Source) -> Columns | None:
    """The index if it is there, whole and up to date."""
    try:
        columns = open_columns(path)
    except FileNotFoundError:
        return None
    except (DamagedFileError, OSError) as error:
        logger.warning("%s; the index is made again", error)
        return None
    if not about.items() <= columns.about.items():
        logger.info("%s: of another version of this package or another set; the index is made again", path)
        return None
    stamps = columns.about["stamps"].items()
    if changed := source.changed((key, stamp and tuple(stamp)) for key, stamp in stamps):  # JSON has lists
        logger.info("%s: changed since its index was made; the index is made again", changed)
        return None
    return columns


def _read(name: str, split: str, source: Source) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of an index, from a dataset's texts, and its readers' notes on lost frames."""
    dataset = find_dataset(name)
    columns: dict[str, list[Any]] = {column: [] for column in (*_TEXTS, *_NUMBERS, *_ROWS)}
    shortfalls = []
    entries = dataset.entries(source, split)
    title = printable(f"{name} {split}")
    with tqdm(entries, title, dataset.count(split), unit=" sequences", disable=None) as progress:
        for sequence in (entry.read() for entry in progress):
            for column, value in _row(sequence, source).items():
                columns[column].append(() if value is None else value)
            shortfalls += filter(None, [sequence.meta.get(SHORTFALL)])
    arrays = {column: np.array(columns[column], dtype) for column, dtype in _NUMBERS.items()}
    for column in _TEXTS:
        arrays |= Texts.pack(columns[column]).arrays(column)
    for column, empty in _ROWS.items():
        parts = columns.pop(column)
        arrays[f"{column}.ends"] = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        arrays[column] = _narrowed(np.concatenate([empty, *(part for part in parts if len(part))]), empty.dtype)
    return arrays, shortfalls


def _row(sequence: Sequence, source: Source) -> dict[str, Any]:
    """The value of a sequence in each column of an index."""
    frames, count = sequence.frames, len(sequence.boxes)
    assert isinstance(frames, FrameFiles), f"readers give FrameFiles, not {type(frames).__name__}"
    assert sequence.boxes.shape == (count, 4) and sequence.visible.shape == (count,)
    numbered = isinstance(frames.names, NumberedNames)
    numbers, rings = sequence.outline or (None, None)
    return {
        "name": sequence.name,
        "dataset": sequence.dataset,
        "folder": source.key_of(frames.folder),
        "pattern": frames.names.pattern if numbered else "",
        "listed": "" if numbered else _BETWEEN_FILES.join(frames.names),
        "meta": json.dumps(dict(sequence.meta)) if sequence.meta else "",
        "frames": len(frames),
        "first": frames.names.first if numbered else 0,
        "image_set": sequence.image_set,
        "boxes": sequence.boxes,
        "visible": sequence.visible,
        "cover": sequence.cover,
        "absent": sequence.absent,
        "numbers": numbers,
        "rings": rings,
    }


def _narrowed(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The values in a smaller type if that changes none of them."""
    with np.errstate(over="ignore"):
        narrow = values.astype(dtype)
    return narrow if np.array_equal(narrow, values, equal_nan=True) else values


@functools.cache
def _readers() -> str:
    """A digest of the code and lists that decide what an index holds."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for folder in _READERS:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
