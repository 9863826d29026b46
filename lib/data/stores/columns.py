"""Named arrays in one ``.npz`` file: checked when it is opened, and mapped, so that processes share their memory.

The file is what ``numpy.savez`` writes, except that each array begins at a multiple of 64 bytes. ``numpy.load`` reads
it but cannot map it.
"""

import json
import struct
import zipfile
from collections import abc
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np

from lib.runtime.files import replacing
from lib.runtime.json_text import parse_json

_NOTE = "note"
_ALIGNMENT = 64
_LOCAL_HEADER, _ZIP64_FIELD = 30, 20  # bytes before a member's name, and of the field with sizes after it


class DamagedFileError(ValueError):
    """A file of columns is cut short, altered or something else; one line names it."""


class Columns(NamedTuple):
    """The arrays of a file by name, read-only and mapped, their CRCs, and the note of the writer (``about``).

    Pickling passes on the path: another process maps the same file, and raises ``ValueError`` if it was replaced by one
    with other sums.
    """

    path: Path
    about: dict[str, Any]
    arrays: dict[str, np.ndarray]
    sums: dict[str, int]

    def __reduce__(self) -> tuple:
        return _open_again, (self.path, self.sums, self.about)


def write_columns(path: Path, about: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Replace ``path`` by a file with these arrays and a note that JSON can hold.

    The earlier file stays until all is written. Of processes that write at once, the last one's file remains. Raises
    ``OSError``.
    """
    note = np.frombuffer(json.dumps({"about": about, "arrays": list(arrays)}).encode(), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in {_NOTE: note, **arrays}.items():
            member = zipfile.ZipInfo(f"{name}.npy")
            member.extra = bytes(-(file.tell() + _LOCAL_HEADER + len(member.filename) + _ZIP64_FIELD) % _ALIGNMENT)
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)


def open_columns(path: Path) -> Columns:
    """The columns of a file; pages of its arrays are read as they are used, once for all processes.

    Every array is compared with its CRC. Raises ``DamagedFileError``, and ``OSError`` if the file cannot be read.
    """
    return _open(path, check=True)


def _open_again(path: Path, sums: dict[str, int], about: dict[str, Any]) -> Columns:
    """The columns in a worker, which leaves out the check of the main process."""
    try:
        columns = _open(path, check=False)._replace(about=about)
    except OSError as error:
        raise ValueError(f"{path}: cannot be opened again ({error.strerror}); start again") from error
    if columns.sums != sums:
        raise ValueError(f"{path}: another process has replaced it by one with other content; start again")
    return columns


def _open(path: Path, check: bool) -> Columns:
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                    raise DamagedFileError("its arrays are compressed")
                if check and (damaged := archive.testzip()):
                    raise DamagedFileError(f"{damaged} does not match its CRC")
                raw = np.asarray(np.memmap(file, dtype=np.uint8, mode="r"))
                arrays = {member.filename.removesuffix(".npy"): _map(file, raw, member) for member in members}
                text = arrays.pop(_NOTE).tobytes()
                # That of an index has a stamp for each file: too many objects for the memory of each worker.
                note = parse_json(text) if check else {"about": {}, "arrays": list(arrays)}
                if note["arrays"] != list(arrays):
                    raise DamagedFileError("its directory lacks arrays")
        except Exception as error:  # zipfile and numpy raise many kinds for a damaged file
            raise DamagedFileError(f"{path}: is damaged, cut short or no file of arrays ({error})") from error
    sums = {member.filename.removesuffix(".npy"): member.CRC for member in members}
    return Columns(path, note["about"], arrays, {name: sums[name] for name in arrays})


def _map(file: BinaryIO, raw: np.ndarray, member: zipfile.ZipInfo) -> np.ndarray:
    """The array of a member of the zip ``file``, as a view of the file's bytes ``raw``."""
    lengths = struct.unpack_from("<HH", raw, member.header_offset + 26)  # of the name and the fields after it
    file.seek(member.header_offset + _LOCAL_HEADER + sum(lengths))
    np.lib.format.read_magic(file)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return np.ndarray(shape, dtype, raw, file.tell())


class Texts(abc.Sequence):
    """Texts in arrays, each distinct text once.

    ``which`` int32 ``[n]`` is the number of each text; text k is the UTF-8 between ``ends[k]`` and ``ends[k + 1]`` of
    ``letters``.
    """

    def __init__(self, which: np.ndarray, ends: np.ndarray, letters: np.ndarray) -> None:
        self.which, self.ends, self.letters = which, ends, letters

    @classmethod
    def pack(cls, texts: Iterable[str]) -> Self:
        """The arrays of these texts. A file name that is no UTF-8 holds lone surrogates, and comes back as it is."""
        numbers: dict[str, int] = {}
        which = np.array([numbers.setdefault(text, len(numbers)) for text in texts], dtype=np.int32)
        parts = [text.encode("utf-8", "surrogatepass") for text in numbers]
        ends = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        return cls(which, ends, np.frombuffer(b"".join(parts), dtype=np.uint8))

    @classmethod
    def from_columns(cls, columns: Columns, name: str) -> Self:
        """The texts whose arrays were stored under that name."""
        return cls(*(columns.arrays[f"{name}.{part}"] for part in ("which", "ends", "letters")))

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays to store under a name, for ``from_columns``."""
        return {f"{name}.which": self.which, f"{name}.ends": self.ends, f"{name}.letters": self.letters}

    def __len__(self) -> int:
        return len(self.which)

    def __getitem__(self, index: int) -> str:
        which = self.which[index]
        return self.letters[self.ends[which] : self.ends[which + 1]].tobytes().decode("utf-8", "surrogatepass")
