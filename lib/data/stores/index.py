"""The annotations of a dataset: read from its texts once, then kept in a file that all processes map."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import logging
import os
import re
import sys
import time
from collections import abc
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from lib.data.datasets.registry import find_dataset
from lib.data.stores.columns import Columns, DamagedFileError, Texts, TextsWriter, open_columns, write_columns
from lib.data.stores.packed import open_source
from lib.data.stores.source import Source, Stamp
from lib.data.types import SHORTFALL, FrameFiles, NumberedNames, Outline, Sequence
from lib.runtime.escapes import printable
from lib.runtime.json_text import parse_json

logger = logging.getLogger(__name__)

FOLDER = "indices"
# Number of what the arrays mean; another number, another reader or another list of the package makes an index anew.
_MEANING = 2
_TEXTS = ("name", "dataset", "folder", "pattern", "listed", "meta")
_STAMPS = "stamp"
_BETWEEN_FILES = "\0"  # which no file's name can hold


def open_dataset(name: str, split: str, root: Path, cache: Path) -> SequenceIndex:
    """The sequences of a split of the dataset whose files lie in ``root``.

    They are kept in ``cache / indices``; as long as the files that were read (and the listings, and what was looked for
    in vain) have their size and time of change, and the package its readers and lists, nothing is read again. What is
    damaged is made anew. What sequences lack of their frames is logged each time. Raises ``ValueError`` for data that
    cannot be read, and for a cache that cannot be written.
    """
    root, cache = Path(root).absolute(), Path(cache).absolute()
    source = open_source(root, cache)
    about = {
        "meaning": _MEANING,
        "dataset": name,
        "split": split,
        "root": str(root),
        "leads_to": os.path.realpath(root),
        "encoding": sys.getfilesystemencoding(),  # of names: in another one the same files have other names
        "source": type(source).__name__,
        "readers": _readers(),
    }
    path = _index_file(cache, about)
    start = time.monotonic()
    columns = _open_valid(path, about, source)
    done = "opened"
    if columns is None:
        done = "read"
        arrays = _read(name, split, source)
        try:
            write_columns(path, about, arrays)
            columns = open_columns(path)
        except OSError as error:
            raise ValueError(
                f"{path.parent}: cannot keep the index of {name} there ({error.strerror}); make room or set another "
                "cache folder: cache in paths.yaml or the environment variable TRACKING_CACHE"
            ) from error
    index = SequenceIndex(columns, source)
    logger.info(
        "%s %s: %d sequences with %d frames %s in %.1f s; index %s (%.1f MB)",
        name, split, len(index), index.lengths.sum(), done, time.monotonic() - start, path,
        sum(array.nbytes for array in columns.arrays.values()) / 1e6,
    )  # fmt: skip
    # Asked of the letters first: an index may hold a million sequences.
    if SHORTFALL.encode() in columns.arrays["meta.letters"].tobytes():
        for shortfall in filter(None, (sequence.meta.get(SHORTFALL) for sequence in index)):
            logger.warning("%s", shortfall)
    return index


class SequenceIndex(abc.Sequence):
    """The sequences of a split, like a list of them; each is made when it is asked for, its arrays views of the file.

    Pickling passes on where the file lies, not what it holds: a worker maps the same memory. ``lengths`` int64 ``[n]``
    are the numbers of frames, ``image_sets`` bool ``[n]`` says which are image sets.
    """

    def __init__(self, columns: Columns, source: Source) -> None:
        self.source = source
        self._columns = columns
        self._arrays = arrays = columns.arrays
        self.lengths, self.image_sets = arrays["frames"], arrays["image_set"]
        self._texts = {name: Texts.from_columns(columns, name) for name in _TEXTS}

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int | slice) -> Sequence | list[Sequence]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        index = int(index) % len(self)
        arrays = self._arrays
        name, dataset, folder, pattern, listed, meta = (self._texts[column][index] for column in _TEXTS)
        if listed:
            names = listed.split(_BETWEEN_FILES)
        else:
            names = NumberedNames(pattern, int(arrays["first"][index]), int(self.lengths[index]))
        rows = slice(arrays["rows"][index], arrays["rows"][index + 1])
        return Sequence(
            name,
            dataset,
            FrameFiles(self.source.location(folder), names),
            arrays["boxes"][rows].astype(np.float64, copy=False),
            arrays["visible"][rows],
            bool(self.image_sets[index]),
            arrays["cover"][rows].astype(np.int64) if arrays["has_cover"][index] else None,
            arrays["absent"][rows] if arrays["has_absent"][index] else None,
            parse_json(meta) if meta else {},
            self._outline(index),
        )

    def _outline(self, index: int) -> Outline | None:
        arrays = self._arrays
        parts = []
        for part in ("numbers", "rings"):
            first, end = arrays[f"outline.{part}_ends"][index : index + 2]
            parts.append(arrays[f"outline.{part}"][first:end])
        return Outline(*parts) if len(parts[0]) else None

    @property
    def outlined(self) -> np.ndarray:
        """bool ``[n]``: which sequences have an outline."""
        return np.diff(self._arrays["outline.numbers_ends"]) > 0

    def classes(self) -> tuple[list[str], np.ndarray]:
        """The names of classes, and int64 ``[n]`` which of them each sequence is of; "" where none is stated."""
        metas = self._texts["meta"]
        texts = [metas.letters[first:end].tobytes() for first, end in itertools.pairwise(metas.ends.tolist())]
        names = [parse_json(text).get("class", "") if text else "" for text in texts]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        return list(numbers), np.array([numbers[name] for name in names], dtype=np.int64)[metas.which]

    def largest_areas(self) -> np.ndarray:
        """float64 ``[n]``: the area of the largest box of each sequence, 0 where none has a size."""
        rows = self._arrays["rows"]
        areas = np.nan_to_num(self._arrays["boxes"][:, 2:].astype(np.float64).prod(axis=1))
        largest = np.zeros(len(self))
        filled = np.diff(rows) > 0
        largest[filled] = np.maximum.reduceat(areas, rows[:-1][filled]) if filled.any() else 0
        return largest

    def visible_counts(self, every: int = 1) -> np.ndarray:
        """int64 ``[n]``: how many frames of each sequence are visible, among its last one and those whose number is a
        multiple of ``every``."""
        visible, rows = self._arrays["visible"], self._arrays["rows"]
        lengths = np.diff(rows)
        starts, ends = rows[:-1][lengths > 0], rows[1:][lengths > 0]
        chosen = visible
        if every > 1:
            # Rows 0, every, 2 * every ... of each sequence, by their place in the column, and its last one.
            picked = -(-lengths // every)
            before = np.cumsum(picked) - picked
            places = np.repeat(rows[:-1] - before * every, picked) + np.arange(picked.sum()) * every
            chosen = np.zeros_like(visible)
            for part in (places, ends - 1):
                chosen[part] = visible[part]
        counts = np.zeros(len(self), dtype=np.int64)
        counts[lengths > 0] = np.add.reduceat(chosen, starts, dtype=np.int64) if len(starts) else 0
        return counts

    @property
    def sums(self) -> dict[str, int]:
        """A sum of each array by its name: indices with the same ones hold the same."""
        return _content(self._columns)

    def __reduce__(self) -> tuple:
        return _open_again, (self._columns.path, self.source.root, _content(self._columns))


def _open_again(path: Path, root: Path, content: dict[str, int]) -> SequenceIndex:
    """The index in a worker, from a file that the main process has checked."""
    try:
        columns = open_columns(path, check=False)
    except OSError as error:
        raise ValueError(f"{path}: the index cannot be opened again ({error.strerror}); start again") from error
    if _content(columns) != content:
        raise ValueError(f"{path}: another process has replaced the index by one with other content; start again")
    return SequenceIndex(columns, open_source(root))


def _content(columns: Columns) -> dict[str, int]:
    """What tells whether an index holds the same sequences; the stamps of the files it was read from may differ."""
    return {name: value for name, value in columns.sums.items() if not name.startswith(_STAMPS)}


def _open_valid(path: Path, about: dict[str, Any], source: Source) -> Columns | None:
    """The index if it is there, whole and up to date."""
    try:
        columns = open_columns(path)
    except FileNotFoundError:
        return None
    except (DamagedFileError, OSError) as error:
        logger.warning("%s; the index is made again", error)
        return None
    if columns.about != about:
        logger.info("%s: of another version of this package or another set; the index is made again", path)
        return None
    changed = _changed(columns, source)
    if changed is not None:
        logger.info("%s: changed since its index was made; the index is made again", source.location(changed))
        return None
    return columns


def _changed(columns: Columns, source: Source) -> str | None:
    """The key of the first file that is not as it was when the index was made."""
    keys = Texts.from_columns(columns, f"{_STAMPS}.key")
    for key, stamp in zip(keys, columns.arrays[f"{_STAMPS}.value"].tolist(), strict=True):
        if _as_row(source.stamp(key)) != stamp:
            return key
    return None


def _read(name: str, split: str, source: Source) -> dict[str, np.ndarray]:
    """The arrays of an index, from a dataset's texts."""
    dataset = find_dataset(name)
    texts = {column: TextsWriter() for column in _TEXTS}
    # Bytes that grow in place: a list of arrays would double what TrackingNet takes. Before a sequence with cover (or
    # absent), those without take zeros; after the last one, nothing.
    boxes, visible, cover, absent = bytearray(), bytearray(), bytearray(), bytearray()
    numbers, rings, numbers_ends, rings_ends = bytearray(), bytearray(), [0], [0]
    frames, first, rows, image_set, has_cover, has_absent = [], [], [0], [], [], []
    entries = dataset.entries(source, split)
    title = printable(f"{name} {split}")
    with tqdm(entries, title, dataset.expected.get(split), unit=" sequences", disable=None) as progress:
        for sequence in (entry.read() for entry in progress):
            numbered, listed = _split_names(sequence.frames)
            values = (
                sequence.name,
                sequence.dataset,
                source.key_of(sequence.frames.folder),
                numbered.pattern,
                listed,
                json.dumps(dict(sequence.meta)) if sequence.meta else "",
            )
            for column, value in zip(_TEXTS, values, strict=True):
                texts[column].add(value)
            count = len(sequence.boxes)
            frames.append(len(sequence))
            first.append(numbered.first)
            rows.append(rows[-1] + count)
            image_set.append(sequence.image_set)
            has_cover.append(sequence.cover is not None)
            has_absent.append(sequence.absent is not None)
            if sequence.outline is not None:
                numbers += sequence.outline.numbers.tobytes()
                rings += sequence.outline.rings.tobytes()
            numbers_ends.append(len(numbers) // 4)
            rings_ends.append(len(rings) // 4)
            boxes += _as_bytes(sequence.boxes, np.float64, (count, 4))
            visible += _as_bytes(sequence.visible, bool, (count,))
            if sequence.cover is not None:
                cover += bytes(8 * rows[-2] - len(cover)) + _as_bytes(sequence.cover, np.int64, (count,))
            if sequence.absent is not None:
                absent += bytes(rows[-2] - len(absent)) + _as_bytes(sequence.absent, bool, (count,))
    stamps = source.stamps
    arrays = {
        "frames": np.array(frames, dtype=np.int64),
        "first": np.array(first, dtype=np.int64),
        "rows": np.array(rows, dtype=np.int64),
        "image_set": np.array(image_set, dtype=bool),
        "has_cover": np.array(has_cover, dtype=bool),
        "has_absent": np.array(has_absent, dtype=bool),
        "boxes": _narrowed(np.frombuffer(boxes).reshape(-1, 4), np.float32),
        "visible": np.frombuffer(visible, dtype=bool),
        "cover": _narrowed(np.frombuffer(cover, dtype=np.int64), np.int8),
        "absent": np.frombuffer(absent, dtype=bool),
        "outline.numbers": np.frombuffer(numbers, dtype=np.float32),
        "outline.numbers_ends": np.array(numbers_ends, dtype=np.int64),
        "outline.rings": np.frombuffer(rings, dtype=np.int32),
        "outline.rings_ends": np.array(rings_ends, dtype=np.int64),
        f"{_STAMPS}.value": np.array([_as_row(stamp) for stamp in stamps.values()], dtype=np.int64).reshape(-1, 2),
    }
    for column, writer in texts.items():
        arrays |= writer.texts().arrays(column)
    return arrays | TextsWriter(stamps).texts().arrays(f"{_STAMPS}.key")


def _as_bytes(values: np.ndarray, dtype: type, shape: tuple[int, ...]) -> bytes:
    assert values.shape == shape, f"{values.shape} instead of {shape} annotations"
    return values.astype(dtype).tobytes()


def _split_names(frames: abc.Sequence) -> tuple[NumberedNames, str]:
    """The names of a sequence's files as a pattern, or else as a text of all of them."""
    assert isinstance(frames, FrameFiles), f"readers give FrameFiles, not {type(frames).__name__}"
    if isinstance(frames.names, NumberedNames):
        return frames.names, ""
    return NumberedNames("", 0, len(frames)), _BETWEEN_FILES.join(frames.names)


def _narrowed(values: np.ndarray, dtype: type) -> np.ndarray:
    """The values in a smaller type if that changes none of them."""
    with np.errstate(over="ignore"):
        narrow = values.astype(dtype)
    return narrow if np.array_equal(narrow, values, equal_nan=True) else values


def _as_row(stamp: Stamp) -> list[int]:
    return [-1, 0] if stamp is None else list(stamp)


def _index_file(cache: Path, about: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps([about["dataset"], about["split"], about["root"]]).encode()).hexdigest()
    name = re.sub(r"[^\w.-]", "_", f"{about['dataset']}-{about['split']}")
    return cache / FOLDER / f"{name}-{digest[:16]}.index"


@functools.cache
def _readers() -> str:
    """A digest of the package's readers and lists, as they decide what an index holds."""
    digest = hashlib.sha256()
    folders: list[Traversable] = [files("lib.data.datasets")]
    while folders:
        for item in sorted(folders.pop().iterdir(), key=lambda item: item.name):
            if item.is_dir():
                folders.append(item)
            elif not item.name.endswith(".pyc"):
                digest.update(item.name.encode() + b"\0" + item.read_bytes())
    return digest.hexdigest()
