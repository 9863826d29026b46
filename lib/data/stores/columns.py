"""Named arrays in one file: checked when it is opened, and mapped, so that processes share the memory they take."""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections import abc
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lib.runtime.files import replacing
from lib.runtime.json_text import parse_json

FORMAT = 1
_MAGIC = b"TRKCOLS\n"
# Magic, format, length of the header, its crc. The header (JSON) says where each array lies, and the crc of each.
_START = struct.Struct("<8sIII")
_ALIGNMENT = 64


class DamagedFileError(ValueError):
    """A file of columns that is cut short, altered, of another format or something else; one line names it."""


class Columns:
    """The arrays of a file by name (``arrays``), read-only and mapped, and what its writer noted in ``about``."""

    def __init__(self, path: Path, about: dict[str, Any], arrays: dict[str, np.ndarray], sums: dict[str, int]) -> None:
        self.path, self.about, self.arrays, self.sums = path, about, arrays, sums


class Texts(abc.Sequence):
    """Texts kept in arrays, each distinct one once: ``which`` int32 ``[n]`` picks it, and the k-th of them is the UTF-8
    between ``ends[k]`` and ``ends[k + 1]`` of ``letters``."""

    def __init__(self, which: np.ndarray, ends: np.ndarray, letters: np.ndarray) -> None:
        self.which, self.ends, self.letters = which, ends, letters

    def __len__(self) -> int:
        return len(self.which)

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        which = self.which[index]
        return self.letters[self.ends[which] : self.ends[which + 1]].tobytes().decode("utf-8", "surrogatepass")

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays by names that ``from_columns`` finds again."""
        return {f"{name}.which": self.which, f"{name}.ends": self.ends, f"{name}.letters": self.letters}

    @classmethod
    def from_columns(cls, columns: Columns, name: str) -> Texts:
        """The texts stored under that name."""
        return cls(*(columns.arrays[f"{name}.{part}"] for part in ("which", "ends", "letters")))


class TextsWriter:
    """Collects texts one after another."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._numbers: dict[str, int] = {}
        self._which: list[int] = []
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """The next text."""
        self._which.append(self._numbers.setdefault(text, len(self._numbers)))

    def texts(self) -> Texts:
        """What was added so far."""
        # A name on disk that is no UTF-8 holds lone surrogates, and comes back as it is.
        parts = [text.encode("utf-8", "surrogatepass") for text in self._numbers]
        ends = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        return Texts(np.array(self._which, dtype=np.int32), ends, np.frombuffer(b"".join(parts), dtype=np.uint8))


def write_columns(path: Path, about: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Put arrays and a note (what JSON can tell) in place of ``path``, which holds the earlier content until all is
    written. Processes that write the same file at once do not disturb each other; the last one stays. ``OSError`` where
    the disk refuses."""
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    places, position = {}, 0
    for name, array in arrays.items():
        places[name] = [array.dtype.str, array.shape, position, zlib.crc32(_bytes(array))]
        position = _aligned(position + array.nbytes)
    header = json.dumps({"about": about, "arrays": places, "size": position}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(_START.pack(_MAGIC, FORMAT, len(header), zlib.crc32(header)) + header)
        _pad(file)
        for array in arrays.values():
            file.write(_bytes(array))
            _pad(file)


def open_columns(path: Path, check: bool = True) -> Columns:
    """The columns of a file; its arrays take memory as they are used, once for all processes.

    ``check`` compares every array with its sum in the header; without it only the header and the size are, as a process
    does that gets the file from one that has checked it. Raises ``DamagedFileError``, and ``OSError`` if it cannot be
    read.
    """
    with open(path, "rb") as file:
        start = file.read(_START.size)
        if len(start) < _START.size or not start.startswith(_MAGIC):
            raise DamagedFileError(f"{path}: is cut short, or no file of columns")
        _, version, length, header_sum = _START.unpack(start)
        if version != FORMAT:
            raise DamagedFileError(f"{path}: has format {version}, not {FORMAT}")
        header = file.read(min(length, os.fstat(file.fileno()).st_size))  # a damaged length may say gigabytes
        if zlib.crc32(header) != header_sum:
            raise DamagedFileError(f"{path}: its header is damaged")
        try:
            content = parse_json(header)
        except ValueError as error:
            raise DamagedFileError(f"{path}: its header is damaged ({error})") from error
        first, size = _aligned(_START.size + length), os.fstat(file.fileno()).st_size
        if size != first + content["size"]:
            raise DamagedFileError(f"{path}: has {size} bytes, not {first + content['size']}")
        raw = np.asarray(np.memmap(file, dtype=np.uint8, mode="r"))
    arrays, sums = {}, {}
    for name, (dtype, shape, position, array_sum) in content["arrays"].items():
        begin = first + position
        part = raw[begin : begin + np.dtype(dtype).itemsize * math.prod(shape)]
        if check and zlib.crc32(part) != array_sum:
            raise DamagedFileError(f"{path}: its array {name!r} is damaged")
        arrays[name], sums[name] = part.view(dtype).reshape(shape), array_sum
    return Columns(path, content["about"], arrays, sums)


def _bytes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)


def _aligned(position: int) -> int:
    return -(-position // _ALIGNMENT) * _ALIGNMENT


def _pad(file: BinaryIO) -> None:
    file.write(bytes(_aligned(file.tell()) - file.tell()))
