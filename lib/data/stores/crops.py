"""Crop stores: the surroundings of the target in each frame, at the resolution that training crops need.

A store is a folder. ``crops.index`` holds its settings and the place of each frame's record in ``000.crops``,
``001.crops`` ... A record is a JPEG with halved colors.
"""

import hashlib
import logging
import math
import os
import weakref
import zlib
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np

from lib.data.augment import to_grayscale
from lib.data.croppers import Cropper, FrameCropper
from lib.data.decoding.images import EncodedImage, ImageError, find_decoder
from lib.data.decoding.jpeg import JpegHeader
from lib.data.stores.columns import Columns, DamagedFileError, open_columns
from lib.data.stores.index import SequenceIndex
from lib.data.stores.reach import CropSettings
from lib.geometry.crop import Fill, Region, Window

logger = logging.getLogger(__name__)

STORE_FORMAT = 3
INDEX = "crops.index"
UNIT = 16  # width and height in pixels of the coded units of a JPEG with halved colors
# A row for each stored frame: its record, the stored region of the frame (ends exclusive) and its stored size, the
# frame's own height and width, and the mean of each channel and of the frame made gray, rounded down.
RECORD_ROW = np.dtype(
    [("offset", "<u8"), ("length", "<u4"), ("crc", "<u4"), ("part", "<u2")]
    + [(name, "<u2") for name in ("left", "top", "right", "bottom", "columns", "rows", "height", "width")]
    + [(name, "u1") for name in ("red", "green", "blue", "gray")]
)


class Record(namedtuple("Record", RECORD_ROW.names)):
    """A row of the index as plain numbers; see ``RECORD_ROW``."""


class CropStore:
    """The stored frames of a split of a dataset, by its index. Made by ``open_crops``."""

    def __init__(self, columns: Columns, fills: dict[str, Fill], decoder: str) -> None:
        self.folder, self._columns, self._fills, self._decoder = columns.path.parent, columns, fills, decoder
        arrays = columns.arrays
        self._names, self._first, self._end = arrays["names"], arrays["first"], arrays["end"]
        self._frames, self._rows = arrays["frames"], arrays["rows"].view(RECORD_ROW)
        self._files: dict[int, BinaryIO] = {}
        weakref.finalize(self, _close, self._files)

    def __len__(self) -> int:
        return len(self._frames)

    def cropper(self, name: str, frame: int, role: str, open_frame: Callable[[], FrameCropper]) -> Cropper:
        """The cropper of a frame of the sequence of that name, for crops of ``role`` ("template", "search").

        ``open_frame`` opens the frame itself, for crops that show more than is stored. If nothing is stored, its
        cropper is returned, with ``missed`` set.
        """
        record = self.find(name, frame)
        if record is not None:
            return StoredCropper(self, record, self._fills[role], open_frame)
        cropper = open_frame()
        cropper.missed = True
        return cropper

    def find(self, name: str, frame: int) -> Record | None:
        """The record of a frame of the sequence of that name; None if nothing is stored of it."""
        number = hash_name(name)
        place = self._names.searchsorted(number)
        if place == len(self._names) or self._names[place] != number:
            return None
        first, end = int(self._first[place]), int(self._end[place])
        row = first + int(self._frames[first:end].searchsorted(np.int32(frame)))
        if row == end or self._frames[row] != frame:
            return None
        return Record(*self._rows[row].item())

    def decode(self, record: Record, region: Region) -> np.ndarray:
        """A region of a record (left, top, right, bottom in stored pixels, ends exclusive): uint8 RGB ``[h, w, 3]``.
        Raises ``ImageError``."""
        header = JpegHeader(record.rows, record.columns, UNIT)
        return EncodedImage(self._place(record), self._read(record), self._decoder, header).pixels(region)

    def _read(self, record: Record) -> bytes:
        path = self.folder / part_name(record.part)
        try:
            if record.part not in self._files:
                self._files[record.part] = open(path, "rb", buffering=0)  # noqa: SIM115 (kept open)
            data = os.pread(self._files[record.part].fileno(), record.length, record.offset)
        except OSError as error:
            raise ImageError(f"{path}: cannot read from the crop store ({error.strerror})") from error
        if record.crc != zlib.crc32(data):
            raise ImageError(f"{self._place(record)} is damaged; make the crop store again")
        return data

    def _place(self, record: Record) -> str:
        return f"{self.folder / part_name(record.part)}: the record at byte {record.offset}"

    def __reduce__(self) -> tuple:
        return CropStore, (self._columns, self._fills, self._decoder)


class StoredCropper(Cropper):
    """Takes crops of a frame from its stored surroundings of the target.

    Crops show the same places as those of the frame and have the same padding. Pixels differ a little, since they were
    resized and coded once more. A crop that shows more than is stored is taken from the frame.
    """

    def __init__(self, store: CropStore, record: Record, fill: Fill, open_frame: Callable[[], FrameCropper]) -> None:
        self._store, self._record, self._fill, self._open_frame = store, record, fill, open_frame

    @property
    def shape(self) -> tuple[int, int]:
        return self._record.height, self._record.width

    def crop(self, window: Window, size: int, flipped: bool, grayscale: bool) -> np.ndarray:
        crop = self._stored_crop(window, size, flipped, grayscale)
        if crop is None:
            self.missed = True
            crop = self._open_frame().crop(window, size, flipped, grayscale)
        return crop

    def _stored_crop(self, window: Window, size: int, flipped: bool, grayscale: bool) -> np.ndarray | None:
        """The crop, None if it shows more of the frame than is stored."""
        record = self._record
        left, top, right, bottom = window.inside(self.shape)
        if flipped:
            left, right = record.width - right, record.width - left
        value = self._padding(grayscale)
        if left >= right or top >= bottom:
            return np.full((size, size, 3), value, dtype=np.uint8)
        if left < record.left or top < record.top or right > record.right or bottom > record.bottom:
            return None
        if (record.columns, record.rows) == (record.right - record.left, record.bottom - record.top):
            region = left - record.left, top - record.top, right - record.left, bottom - record.top
            pixels = self._store.decode(record, region)
            return window.fit(to_grayscale(pixels) if grayscale else pixels, self.shape, size, value, flipped)
        x1 = record.width - window.x1 - window.side if flipped else window.x1
        columns = _lay(x1, window.side, size, (left, right), (record.left, record.right), record.columns)
        rows = _lay(window.y1, window.side, size, (top, bottom), (record.top, record.bottom), record.rows)
        if columns.begin == columns.end or rows.begin == rows.end:
            return np.full((size, size, 3), value, dtype=np.uint8)
        crop = self._resize(columns, rows)
        crop = to_grayscale(crop) if grayscale else crop
        _mix(crop.swapaxes(0, 1), columns.shares, value)
        _mix(crop, rows.shares, value)
        if crop.shape[:2] != (size, size):
            shown, crop = crop, np.full((size, size, 3), value, dtype=np.uint8)
            crop[rows.begin : rows.end, columns.begin : columns.end] = shown
        return cv2.flip(crop, 1) if flipped else crop

    def _resize(self, columns: "_Line", rows: "_Line") -> np.ndarray:
        """These columns and rows of a crop, from a record below the frame's resolution."""
        pixels = self._store.decode(self._record, (columns.first, rows.first, columns.last + 1, rows.last + 1))
        to_stored = np.array([[columns.step, 0, columns.place], [0, rows.step, rows.place]])
        size = columns.end - columns.begin, rows.end - rows.begin
        how = {"flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, "borderMode": cv2.BORDER_REPLICATE}
        # Four channels: OpenCV takes three times as long for three.
        crop = cv2.warpAffine(cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA), to_stored, size, **how)
        return cv2.cvtColor(crop, cv2.COLOR_RGBA2RGB)

    def _padding(self, grayscale: bool) -> int | tuple[int, int, int]:
        record = self._record
        if self._fill == "zero":
            return 0
        return (record.gray,) * 3 if grayscale else (record.red, record.green, record.blue)


class _Line(NamedTuple):
    """The columns, or the rows, of a crop that show some of the frame.

    They run from ``begin`` to before ``end``. ``shares`` float32 ``[end - begin]`` is the share of each that shows the
    frame, the rest is padding; None if there is no padding. They are interpolated from the stored pixels ``first`` to
    ``last``: column ``begin`` lies ``place`` pixels after ``first``, each next one ``step`` further.
    """

    begin: int
    end: int
    shares: np.ndarray | None
    first: int
    last: int
    place: float
    step: float


def _lay(start: int, side: int, size: int, shown: tuple[int, int], stored: tuple[int, int], count: int) -> _Line:
    """Where a crop of ``size`` pixels lies along one axis; its window begins at ``start`` and is ``side`` long.

    It shows the frame's pixels ``shown``; the record shows ``stored`` (both: first and end) in ``count`` pixels.
    """
    begin, end, shares = 0, size, None
    if shown != (start, start + side):
        line = np.zeros((side, 1), dtype=np.float32)
        line[shown[0] - start : shown[1] - start] = 1
        all_shares = cv2.resize(line, (1, size))[:, 0]
        some = np.flatnonzero(all_shares)
        begin, end = (int(some[0]), int(some[-1]) + 1) if len(some) else (0, 0)
        shares = all_shares[begin:end]
    scale = count / (stored[1] - stored[0])
    # Pixel u shows pixel start + (u + 0.5) * side / size - 0.5 of the frame, as cv2.resize has it.
    place, first, last = (
        (pixel - stored[0] + 0.5) * scale - 0.5
        for pixel in (start + (begin + 0.5) * side / size - 0.5, shown[0], shown[1] - 1)
    )
    first, last = max(0, math.floor(first)), min(count - 1, math.ceil(last))
    return _Line(begin, end, shares, first, last, place - first, scale * side / size)


def _mix(lines: np.ndarray, shares: np.ndarray | None, value: int | tuple[int, int, int]) -> None:
    mixed = () if shares is None else np.flatnonzero(shares < 1)
    if len(mixed):
        share = shares[mixed, None, None]
        lines[mixed] = np.rint(lines[mixed] * share + np.float32(value) * (1 - share))


def open_crops(
    folder: Path, index: SequenceIndex, wanted: CropSettings, *, dataset: str, split: str, remedy: str, decoder: str
) -> CropStore:
    """The crop store of a split, for training that takes the crops ``wanted``.

    ``index`` is the split's (``lib.data.stores.index.open_dataset``); the store must have been made from the same
    annotations. It may have been made for larger crops or more jitter than wanted, not for less; its own coverage,
    detail and quality hold. Raises ``ValueError`` in one line, with ``remedy`` (a command), for a store that is
    missing, incomplete, damaged or unfit.
    """
    path = folder / INDEX
    try:
        columns = open_columns(path)
    except FileNotFoundError as error:
        raise ValueError(f"{folder}: no complete crop store of {dataset} {split}; make it: {remedy}") from error
    except (DamagedFileError, OSError) as error:
        raise ValueError(f"{error}; remove the folder and make it again: {remedy}") from error
    if problem := _unfit(folder, columns.about, index, wanted, dataset, split):
        raise ValueError(f"{folder}: {problem}; remove it and make another crop store: {remedy}")
    fills = {"template": wanted.template.crop.fill, "search": wanted.search.crop.fill}
    store = CropStore(columns, fills, find_decoder(decoder))
    logger.info("%s %s: crops of %d frames from %s", dataset, split, len(store), folder)
    return store


def _close(files: dict[int, BinaryIO]) -> None:
    for file in files.values():
        file.close()


def _unfit(
    folder: Path, about: dict[str, Any], index: SequenceIndex, wanted: CropSettings, dataset: str, split: str
) -> str | None:
    """Why a store cannot serve; None if it can."""
    if about.get("kind") != "crops" or about["format"] != STORE_FORMAT:
        return "not a crop store of this version"
    if (about["dataset"], about["split"]) != (dataset, split):
        return f"made from {about['dataset']} {about['split']}, not {dataset} {split}"
    if about["annotations"] != index.annotation_sums:
        return f"made from other annotations of {dataset} {split} than are there now"
    if lack := CropSettings.model_validate(about["settings"]).lack(wanted):
        return lack
    for part, size in enumerate(about["sizes"]):
        path = folder / part_name(part)
        if not path.is_file() or path.stat().st_size != size:
            return f"{path.name} is missing, or has not the {size} bytes that were written"
    return None


def hash_name(name: str) -> np.uint64:
    """The number under which a sequence is looked up."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def part_name(part: int) -> str:
    """The file that holds part ``part`` of a store's records."""
    return f"{part:03d}.crops"
