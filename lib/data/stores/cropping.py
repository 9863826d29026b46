"""Writes a crop store: in parts, so that a write that was stopped goes on; it bears its name once it is complete."""

from __future__ import annotations

import json
import math
import zlib
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from lib.data.augment import to_grayscale
from lib.data.decoding.images import ImageError, open_image
from lib.data.sampling import visible_frames
from lib.data.stores.columns import Columns, DamagedFileError, Texts, open_columns, write_columns
from lib.data.stores.crops import FORMAT, INDEX, ROW, CropSettings, hash_name, part_name, sum_annotations
from lib.data.stores.index import SequenceIndex, open_dataset
from lib.data.stores.reach import Reach
from lib.data.stores.segments import UNIT, encode_record
from lib.data.stores.source import Location
from lib.geometry.crop import Region, padding_value
from lib.runtime.children import Pool
from lib.runtime.escapes import printable, printable_lines
from lib.runtime.files import replacing, write_text
from lib.runtime.locks import lock_of, only_writer

SETTINGS = "settings.json"
# As many files are open at most; a stopped write loses the parts that were being written.
_MAX_PARTS = 256
_MIN_FRAMES = 1000  # of a part
# A frame would lose sharpness and hardly any bytes; so it is kept as it is from this share of its resolution on.
_WHOLE_FROM = 0.8
# Pixels around the windows: their corners and sides are rounded, and a flipped box lies a pixel off its mirror.
_MARGIN = 3
_NAMED = 10  # unreadable images in a summary


@dataclass(frozen=True)
class CropSummary:
    """What a crop store holds; ``written`` is False if it was there already.

    ``frame_bytes`` are those of the images that it was made from, ``bytes`` its own. ``unreadable`` says of each image
    that could not be read what is wrong; training draws such frames as it would without a store.
    """

    folder: Path
    sequences: int
    frames: int
    bytes: int
    frame_bytes: int
    unreadable: tuple[str, ...]
    written: bool

    def text(self) -> str:
        """The summary for people."""
        share = f", {self.bytes / self.frame_bytes:.0%} of the images' {_size(self.frame_bytes)}" if self.frames else ""
        each = f" ({self.bytes / self.frames / 1000:.1f} KB each)" if self.frames else ""
        lines = [
            f"{self.folder}: {'written' if self.written else 'there already, left as it is'}",
            f"{self.frames} frames of {self.sequences} sequences in {_size(self.bytes)}{each}{share}",
        ]
        if self.unreadable:
            lines.append(f"{len(self.unreadable)} unreadable images are left out:")
            lines += [f"  {problem}" for problem in self.unreadable[:_NAMED]]
            lines += ["  ..."] if len(self.unreadable) > _NAMED else []
        return printable_lines(lines)


class _Part(NamedTuple):
    """Part ``number`` of a store: sequences from position ``first`` on, up to before ``end``."""

    number: int
    first: int
    end: int


def write_crops(
    name: str, split: str, root: Path, cache: Path, target: Path, settings: CropSettings, processes: int = 1
) -> CropSummary:
    """Store the surroundings of the targets of a split in the folder ``target / split``.

    ``root`` and ``cache`` are those of ``lib.data.stores.index.open_dataset``. Work goes on in a folder
    beside it that is renamed when complete, so a write that was stopped is continued by the next. A store that is there
    already with the same settings, of the same annotations, is left. Raises ``ValueError`` for a folder that holds
    anything else, for data that cannot be read and for a disk that is full."""
    index = open_dataset(name, split, root, cache)
    about = {
        "kind": "crops",
        "format": FORMAT,
        "dataset": name,
        "split": split,
        "annotations": sum_annotations(index),
        "settings": settings.as_tree(),
    }
    folder = Path(target).absolute() / split
    unfinished = folder.with_name(f".{split}.unfinished")
    try:
        with nullcontext() if folder.exists() and not lock_of(folder).exists() else only_writer(folder):
            if folder.exists():  # perhaps by now, by another process
                return _describe(folder, _check_written(folder, about), written=False)
            _check_unfinished(unfinished, about)
            _write(unfinished, about, index, settings, processes)
            unfinished.replace(folder)
    except OSError as error:
        raise ValueError(
            f"{unfinished}: cannot write the crop store ({error.strerror or error}); make room and start again, what "
            "is there is kept"
        ) from error
    return _describe(folder, open_columns(folder / INDEX, check=False), written=True)


def _check_written(folder: Path, about: dict[str, Any]) -> Columns:
    """The index of the store that is there, if it is the one that is asked for."""
    try:
        columns = open_columns(folder / INDEX)
    except (DamagedFileError, OSError) as error:
        raise ValueError(f"{folder}: is there, but no crop store; remove it or name another folder") from error
    if not about.items() <= columns.about.items():
        raise ValueError(
            f"{folder}: holds a crop store made with other settings or from other annotations; remove it or name "
            "another folder"
        )
    return columns


def _check_unfinished(folder: Path, about: dict[str, Any]) -> None:
    """The folder of an unfinished store, made if there is none; ``ValueError`` if it was begun as another."""
    path = folder / SETTINGS
    text = json.dumps(about, indent=1) + "\n"
    if not path.exists():
        write_text(path, text)
    elif path.read_text() != text:
        raise ValueError(
            f"{folder}: a crop store was begun there with other settings or from other annotations; remove it, or "
            "finish it with these"
        )


def _write(folder: Path, about: dict[str, Any], index: SequenceIndex, settings: CropSettings, processes: int) -> None:
    counts = index.visible_counts(settings.every)
    parts = _divide(counts)
    missing = [part for part in parts if _open_part(folder, part) is None]
    done = int(counts.sum()) - sum(int(counts[part.first : part.end].sum()) for part in missing)
    title = printable(f"{about['dataset']} {about['split']}")
    bar = tqdm(total=int(counts.sum()), initial=done, desc=title, unit=" frames", disable=None)
    prepare = partial(cv2.setNumThreads, 1)
    with bar, Pool(processes if processes > 1 else 0, "wrote crops", prepare) as pool:
        for frames in pool.each(partial(_write_part, folder, index, settings), missing):
            bar.update(frames)
    columns = [_open_part(folder, part) for part in parts]
    assert None not in columns, "a part is not as it was written"
    write_columns(folder / INDEX, about | _totals(folder, columns), _merge(index, parts, columns))
    for part in parts:
        _part_index(folder, part).unlink()
    (folder / SETTINGS).unlink()


def _divide(counts: np.ndarray) -> list[_Part]:
    """The sequences, whose numbers of frames are ``counts``, in parts of about as many frames."""
    frames = counts.cumsum()
    wanted = max(_MIN_FRAMES, math.ceil(counts.sum() / _MAX_PARTS))
    # A part ends with the sequence that fills it.
    ends = np.unique(np.searchsorted(frames, np.arange(wanted, counts.sum(), wanted)) + 1)
    bounds = [0, *(int(end) for end in ends if end < len(counts)), len(counts)]
    return [_Part(number, first, end) for number, (first, end) in enumerate(zip(bounds, bounds[1:], strict=False))]


def _part_index(folder: Path, part: _Part) -> Path:
    return folder / f"{part.number:03d}.index"


def _open_part(folder: Path, part: _Part) -> Columns | None:
    """The index of a part that is written, None if it has to be written."""
    try:
        columns = open_columns(_part_index(folder, part))
        size = (folder / part_name(part.number)).stat().st_size
    except (DamagedFileError, OSError):
        return None
    whole = columns.about["part"] == list(part) and columns.about["size"] == size and "crcs" in columns.arrays
    return columns if whole else None


def _write_part(folder: Path, index: SequenceIndex, settings: CropSettings, part: _Part) -> int:
    """Writes a part's records, then its index; the number of frames that it was to hold."""
    reaches = settings.reaches()
    rows, crcs, frames, ends = [], [], [], []
    unreadable: list[str] = []
    asked = frame_bytes = offset = 0
    with replacing(folder / part_name(part.number)) as file:
        for position in range(part.first, part.end):
            sequence = index[position]
            for frame in visible_frames(sequence, settings.every).tolist():
                asked += 1
                location = _Counted(sequence.frames[frame])
                try:
                    made = _make_record(location, sequence.boxes[frame], settings, reaches)
                except ImageError as error:
                    unreadable.append(str(error))
                    continue
                frame_bytes += location.size
                if made is None:
                    continue
                record, values = made
                file.write(record)
                rows.append((offset, len(record), part.number, *values))
                crcs.append(zlib.crc32(record))
                frames.append(frame)
                offset += len(record)
            ends.append(len(rows))
    arrays = {
        "rows": np.array(rows, dtype=ROW).view(f"V{ROW.itemsize}"),
        "crcs": np.array(crcs, dtype=np.uint32),
        "frames": np.array(frames, dtype=np.int32),
        "ends": np.array(ends, dtype=np.int64),
        **Texts.pack(unreadable).arrays("unreadable"),
    }
    note = {"part": list(part), "size": offset, "frame_bytes": frame_bytes}
    write_columns(_part_index(folder, part), note, arrays)
    return asked


def _make_record(
    location: Location, box: np.ndarray, settings: CropSettings, reaches: tuple[Reach, ...]
) -> tuple[bytes, tuple[int, ...]] | None:
    """A frame's record and the values of its row but for the first three; None if no crop shows any of the frame.

    Raises ``ImageError``.
    """
    image = open_image(location).pixels()
    height, width = image.shape[:2]
    resolution = settings.resolution(box[2], box[3])
    scale = resolution if resolution < _WHOLE_FROM else 1.0
    # Resizing looks beyond a pixel's own place, by two of the stored ones.
    region = _surroundings(box, max(reach.pixels(box[2], box[3]) for reach in reaches) + 2 / scale, height, width)
    if region is None:
        return None
    left, top, right, bottom = region
    if scale == 1.0:
        # The frame's own units, if it is a JPEG with halved colours: coded once more they lose less.
        left, top = left - left % UNIT, top - top % UNIT
    pixels = image[top:bottom, left:right]
    columns, rows = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    if scale < 1:
        # Of OpenCV's ways the nearest to the exact crop, which looks at no more than four pixels either.
        pixels = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_CUBIC)
    means = *padding_value(image, "mean"), padding_value(to_grayscale(image), "mean")[0]
    record = encode_record(pixels, settings.quality)
    return record, (left, top, right, bottom, columns, rows, height, width, *means)


def _surroundings(box: np.ndarray, reach: float, height: int, width: int) -> Region | None:
    """The pixels of a frame that lie up to ``reach`` and a margin from the centre of a box, along either axis."""
    x, y = box[:2] + 0.5 * box[2:]
    reach += _MARGIN
    if not math.isfinite(x + y + reach):
        return None
    left, top = max(0, math.floor(x - reach)), max(0, math.floor(y - reach))
    right, bottom = min(width, math.ceil(x + reach)), min(height, math.ceil(y + reach))
    return (left, top, right, bottom) if left < right and top < bottom else None


def _merge(index: SequenceIndex, parts: list[_Part], columns: list[Columns]) -> dict[str, np.ndarray]:
    """The arrays of the store's index from those of its parts."""
    counts = [len(column.arrays["frames"]) for column in columns]
    before = np.cumsum([0, *counts])
    end = np.concatenate([column.arrays["ends"] + start for column, start in zip(columns, before, strict=False)])
    first = np.concatenate([[0], end[:-1]])
    names = np.array([hash_name(index[position].name) for position in range(len(index))], dtype=np.uint64)
    order = names.argsort()
    assert (np.diff(names[order]) > 0).all(), "two sequences have the same name, or number"
    unreadable = Texts.pack(text for column in columns for text in Texts.from_columns(column, "unreadable"))
    return {
        "names": names[order],
        "first": first[order],
        "end": end[order],
        "frames": np.concatenate([column.arrays["frames"] for column in columns]),
        "rows": np.concatenate([column.arrays["rows"] for column in columns]),
        "crcs": np.concatenate([column.arrays["crcs"] for column in columns]),
        **unreadable.arrays("unreadable"),
    }


def _totals(folder: Path, columns: list[Columns]) -> dict[str, Any]:
    return {
        "sizes": [column.about["size"] for column in columns],
        "frame_bytes": sum(column.about["frame_bytes"] for column in columns),
    }


def _describe(folder: Path, columns: Columns, written: bool) -> CropSummary:
    return CropSummary(
        folder,
        len(columns.arrays["names"]),
        len(columns.arrays["frames"]),
        sum(columns.about["sizes"]),
        columns.about["frame_bytes"],
        tuple(Texts.from_columns(columns, "unreadable")),
        written,
    )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


class _Counted:
    """A location that counts the bytes it gave."""

    def __init__(self, location: Location) -> None:
        self._location, self.size = location, 0

    def read_bytes(self) -> bytes:
        data = self._location.read_bytes()
        self.size = len(data)
        return data

    def __str__(self) -> str:
        return str(self._location)
