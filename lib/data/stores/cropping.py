"""Writes a crop store in parts, so that a stopped write resumes; the store has its name once it is complete."""

import hashlib
import json
import math
import os
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from lib.data.augment import to_grayscale
from lib.data.decoding.images import EncodedImage, ImageError, open_image
from lib.data.sampling import visible_frames
from lib.data.stores.columns import Columns, DamagedFileError, Texts, open_columns, write_columns
from lib.data.stores.crops import INDEX, RECORD_ROW, STORE_FORMAT, UNIT, hash_name, part_name
from lib.data.stores.index import SequenceIndex, open_dataset
from lib.data.stores.reach import CropSettings
from lib.geometry.crop import padding_value
from lib.runtime.escapes import printable, printable_lines
from lib.runtime.files import replacing
from lib.runtime.locks import only_writer
from lib.runtime.threads import in_threads

_MAX_PARTS = 256  # as many files are open at most; a stopped write loses the parts that were being written
# Near its own resolution a frame would lose sharpness and hardly any bytes; from this scale on it is not resized.
_WHOLE_FROM = 0.8
# Pixels around the windows: their corners and sides are rounded, and a flipped box lies a pixel off its mirror.
_MARGIN = 3
_NAMED = 10  # unreadable images in a summary


@dataclass(frozen=True)
class CropSummary:
    """Content of a crop store; ``written`` is False if it was there already.

    ``frame_bytes`` are those of the images that it was made from, ``bytes`` its own. ``unreadable`` names each image
    that could not be read; training draws such frames as it would without a store.
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


def write_crops(
    name: str, split: str, root: Path, cache: Path, target: Path, settings: CropSettings, threads: int = 1
) -> CropSummary:
    """Store the surroundings of the targets of a split in the folder ``target / split``.

    ``root`` and ``cache`` are those of ``lib.data.stores.index.open_dataset``. The store is written in a folder beside
    it that is renamed when complete, so a stopped write is resumed by the next with the same settings and annotations.
    A store that is there already with these is left. Raises ``ValueError`` for a folder that holds anything else, for
    data that cannot be read and for sequences of the same name, and ``OSError`` for a place that cannot be written.
    """
    index = open_dataset(name, split, root, cache)
    for sequence_name, count in Counter(index.names).items():
        if count > 1:
            raise ValueError(f"{root}: {count} sequences are named {sequence_name}; rename them to store their crops")
    about = {
        "kind": "crops",
        "dataset": name,
        "split": split,
        "annotations": index.annotation_sums,
        "settings": settings.model_dump(),
    }
    folder = Path(os.path.realpath(target / split))  # a link cannot be replaced by the folder beside it
    # Under a name of its own, so that parts with other settings or from other annotations are not mixed in.
    digest = hashlib.sha256(json.dumps([STORE_FORMAT, about]).encode()).hexdigest()[:8]
    unfinished = folder.with_name(f".{folder.name}.{digest}.unfinished")
    with only_writer(folder):
        written = not folder.exists()
        if written:
            unfinished.mkdir(parents=True, exist_ok=True)
            try:
                _write(unfinished, about, index, settings, threads)
            except OSError as error:  # of a write it names no file
                raise OSError(error.errno, error.strerror, str(unfinished)) from error
            unfinished.replace(folder)
        columns = _open_written(folder, about)
    sizes, frame_bytes = columns.about["sizes"], columns.about["frame_bytes"]
    unreadable = tuple(Texts.from_columns(columns, "unreadable"))
    frames = len(columns.arrays["frames"])
    return CropSummary(folder, len(index), frames, sum(sizes), frame_bytes, unreadable, written)


def _open_written(folder: Path, about: dict[str, Any]) -> Columns:
    """The index of the store in ``folder``, which must have been made in the same way."""
    try:
        columns = open_columns(folder / INDEX)
        same = columns.about.get("format") == STORE_FORMAT and about.items() <= columns.about.items()
    except (DamagedFileError, FileNotFoundError):
        same = False
    if not same:
        raise ValueError(
            f"{folder}: holds no crop store, or one made with other settings, from other annotations or by another "
            "version; remove it or name another folder"
        )
    return columns


def _write(folder: Path, about: dict[str, Any], index: SequenceIndex, settings: CropSettings, threads: int) -> None:
    positions, length = range(len(index)), math.ceil(max(1, len(index)) / _MAX_PARTS)
    parts = {folder / part_name(first // length): positions[first : first + length] for first in positions[::length]}
    missing = [part for part in parts.items() if _open_part(part[0]) is None]
    title, there = printable(f"{about['dataset']} {about['split']}"), len(parts) - len(missing)
    written = in_threads(partial(_write_part, index, settings), missing, threads)
    for _ in tqdm(written, title, len(parts), initial=there, unit=" parts", disable=None):
        pass
    columns = [_open_part(path) for path in parts]
    assert None not in columns, "a part is not as it was written"
    totals = {
        "sizes": [column.about["size"] for column in columns],
        "frame_bytes": sum(column.about["frame_bytes"] for column in columns),
    }
    write_columns(folder / INDEX, about | {"format": STORE_FORMAT} | totals, _merge(index, columns))
    for path in parts:
        path.with_suffix(".index").unlink()


def _open_part(path: Path) -> Columns | None:
    """The index of a part whose records are in ``path``, None if it has to be written."""
    try:
        columns = open_columns(path.with_suffix(".index"))
        return columns if columns.about["size"] == path.stat().st_size else None
    except (DamagedFileError, OSError):
        return None


def _write_part(index: SequenceIndex, settings: CropSettings, part: tuple[Path, range]) -> None:
    """Write the records of a part, given as its file and the positions of its sequences, then its index."""
    path, positions = part
    number = int(path.stem)
    rows, frames, ends, unreadable = [], [], [], []
    frame_bytes = offset = 0
    with replacing(path) as file:
        for position in positions:
            sequence = index[position]
            for frame in visible_frames(sequence.visible, settings.every).tolist():
                try:
                    image = open_image(sequence.frames[frame])
                    made = _make_record(image, sequence.boxes[frame], settings)
                except ImageError as error:
                    unreadable.append(str(error))
                    continue
                frame_bytes += len(image.data)
                if made is None:
                    continue
                record, values = made
                file.write(record)
                rows.append((offset, len(record), zlib.crc32(record), number, *values))
                frames.append(frame)
                offset += len(record)
            ends.append(len(rows))
    arrays = {
        "rows": np.array(rows, dtype=RECORD_ROW).view(f"V{RECORD_ROW.itemsize}"),
        "frames": np.array(frames, dtype=np.int32),
        "ends": np.array(ends, dtype=np.int64),
        **Texts.pack(unreadable).arrays("unreadable"),
    }
    write_columns(path.with_suffix(".index"), {"size": offset, "frame_bytes": frame_bytes}, arrays)


def _make_record(image: EncodedImage, box: np.ndarray, settings: CropSettings) -> tuple[bytes, tuple[int, ...]] | None:
    """A frame's record and the values of its row after the first four; None if no crop shows any of the frame."""
    pixels = image.pixels()
    height, width = pixels.shape[:2]
    resolution = settings.resolution(box[2], box[3])
    scale = resolution if resolution < _WHOLE_FROM else 1.0
    # Resizing looks beyond a pixel's own place, by two of the stored ones.
    reach = settings.reach(box[2], box[3]) + 2 / scale + _MARGIN
    x, y = box[:2] + 0.5 * box[2:]
    if not math.isfinite(x + y + reach):
        return None
    left, top = max(0, math.floor(x - reach)), max(0, math.floor(y - reach))
    right, bottom = min(width, math.ceil(x + reach)), min(height, math.ceil(y + reach))
    if left >= right or top >= bottom:
        return None
    if scale == 1.0:
        # The frame's own units, if it is a JPEG with halved colors: coded once more they lose less.
        left, top = left - left % UNIT, top - top % UNIT
    part = pixels[top:bottom, left:right]
    columns, rows = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    if scale < 1:
        # Of OpenCV's interpolations the nearest to the exact crop; it looks at no more than four pixels either.
        part = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_CUBIC)
    means = *padding_value(pixels, "mean"), padding_value(to_grayscale(pixels), "mean")[0]
    return _encode(part, settings.quality), (left, top, right, bottom, columns, rows, height, width, *means)


def _encode(pixels: np.ndarray, quality: int) -> bytes:
    """The JPEG of an image, uint8 RGB ``[h, w, 3]``."""
    options = [
        cv2.IMWRITE_JPEG_QUALITY, quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
        cv2.IMWRITE_JPEG_OPTIMIZE, 1,
    ]  # fmt: skip
    encoded, code = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    assert encoded, pixels.shape
    return code.tobytes()


def _merge(index: SequenceIndex, columns: list[Columns]) -> dict[str, np.ndarray]:
    counts = np.concatenate([np.diff(column.arrays["ends"], prepend=0) for column in columns])
    end = counts.cumsum()
    names = np.array([hash_name(name) for name in index.names], dtype=np.uint64)
    order = names.argsort()
    assert (np.diff(names[order]) > 0).all(), "two names have the same number"
    unreadable = Texts.pack(text for column in columns for text in Texts.from_columns(column, "unreadable"))
    return {
        "names": names[order],
        "first": (end - counts)[order],
        "end": end[order],
        **{name: np.concatenate([column.arrays[name] for column in columns]) for name in ("frames", "rows")},
        **unreadable.arrays("unreadable"),
    }


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
