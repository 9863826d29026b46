"""Datasets packed into an LMDB, read in place of their folder.

A key is a file's path below the dataset's root, its value the file's bytes. STARK and OSTrack pack in the same way
(lib/utils/lmdb_utils.py there), so their LMDBs are read too. ``lib.data.stores.packing`` adds keys that begin with NUL:
a manifest, and a record of the files of each batch, from which packing resumes and is verified.
"""

import errno
import json
import logging
import os
import shlex
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, NamedTuple, Self

import lmdb

from lib.data.files.source import Source, Stamp, join_key
from lib.data.files.texts import decode_text
from lib.data.types import Location
from lib.runtime.files import utf8_name

DATA = "data.mdb"
PACKED_FORMAT = 1
MAX_KEY = 511  # bytes, of LMDB
MANIFEST_KEY = b"\0manifest"
_RECORD = b"\0record"
_OWN_END = b"\1"  # the store's own keys lie before it, paths after

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Manifest:
    """The content of a store.

    * ``splits``: number of sequences in each packed split; ``root``: the folder that was packed.
    * ``complete``: False while it is being packed; it cannot be read until then.
    * ``files``, ``size``, ``records``: number of files, their bytes, and number of batches, of those written.
    """

    dataset: str
    splits: Mapping[str, int]
    root: str
    complete: bool = False
    files: int = 0
    size: int = 0
    records: int = 0

    def encode(self) -> bytes:
        """The manifest as it is stored: format, CRC and JSON."""
        content = json.dumps(asdict(self)).encode()
        return b"%d %08x\n%s" % (PACKED_FORMAT, zlib.crc32(content), content)

    def command(self, target: Path) -> str:
        """The command that packs it, and resumes where it was stopped."""
        splits = [word for split in self.splits for word in ("--split", split)]
        words = ["pack", self.dataset, "--root", self.root, *splits, "--out", str(target)]
        return f"python tracking/prepare_data.py {shlex.join(words)}"


class PackedEntry(NamedTuple):
    """A packed file: its key, size in bytes, time of change when it was packed (nanoseconds), and CRC."""

    key: str
    size: int
    modified: int
    crc: int


class Store:
    """A packed dataset, open for reading through one transaction that lasts as long as the process.

    ``manifest`` is None for an LMDB of another program. Raises ``ValueError`` if there is none, for one of another
    version or format, for a damaged manifest, and for one cut short: reading on where the file has ended would kill
    the process. One that is empty or not complete is refused too, unless ``unfinished`` ones are wanted.
    """

    def __init__(self, target: Path, unfinished: bool = False) -> None:
        self.target, file = target, target / DATA
        try:
            size = file.stat().st_size
        except OSError as error:
            raise ValueError(f"{file}: {error.strerror}; check the path, or pack the dataset again") from error
        try:
            # No locks: nobody writes into a complete store, and readers may have no right to write there. Read-ahead
            # stays on: without it an image outside the page cache is fetched page by page (200 kB in 3 ms instead of
            # 0.7 ms, measured on a virtual disk).
            with utf8_name(target) as name:
                self.environment = lmdb.open(name, readonly=True, lock=False, create=False)
        except lmdb.Error as error:
            reason = str(error).removeprefix(f"{target}: ") if size else "the file is empty"
            raise ValueError(f"{file}: cannot be opened as an LMDB ({reason}); copy or pack it again") from error
        try:
            needed = (self.environment.info()["last_pgno"] + 1) * self.environment.stat()["psize"]
            if size < needed:
                raise ValueError(f"{file}: cut short, {size} of {needed} bytes; copy or pack it again")
            with naming_errors(target):
                self.transaction = self.environment.begin()
                self.entries = self.transaction.stat()["entries"]
            self.manifest = self._read_manifest()
            if not self.entries and not unfinished:
                raise ValueError(f"{target}: an LMDB that holds nothing; pack the dataset again")
            if self.manifest is not None and not self.manifest.complete and not unfinished:
                raise ValueError(f"{target}: not packed completely; go on with: {self.manifest.command(target)}")
        except ValueError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; nothing may be read from the store afterwards."""
        self.environment.close()

    def get(self, key: str | bytes) -> bytes | None:
        """The bytes of a file, None if there is none of that path."""
        name = os.fsencode(key)
        with naming_errors(self.target):
            return self.transaction.get(name) if name else None

    def record(self, number: int) -> list[PackedEntry]:
        """The files of the ``number``-th batch; ``ValueError`` if their record is damaged."""
        try:
            return [PackedEntry(*entry) for entry in json.loads(zlib.decompress(self.get(record_key(number)) or b""))]
        except zlib.error as error:
            raise ValueError(
                f"{self.target / DATA}: the record of batch {number} is damaged; copy or pack it again"
            ) from error

    def _read_manifest(self) -> Manifest | None:
        stored = self.get(MANIFEST_KEY)
        if stored is None:
            return None
        head, _, content = stored.partition(b"\n")
        number, _, crc = head.partition(b" ")
        if number.isdigit() and int(number) != PACKED_FORMAT:
            raise ValueError(
                f"{self.target}: packed in format {int(number)}, not in this version's {PACKED_FORMAT}; pack it again"
            )
        if crc != b"%08x" % zlib.crc32(content):
            raise ValueError(f"{self.target}: its manifest is damaged (its checksum differs); copy or pack it again")
        known = {item.name for item in fields(Manifest)}  # earlier versions wrote more
        return Manifest(**{name: value for name, value in json.loads(content).items() if name in known})


@contextmanager
def naming_errors(target: Path, problem: str = "damaged", remedy: str = "copy or pack it again") -> Iterator[None]:
    """Turn an error of LMDB's into ``ValueError`` naming the store."""
    try:
        yield
    except lmdb.Error as error:
        raise ValueError(f"{target / DATA}: {problem} ({error}); {remedy}") from error


def record_key(number: int) -> bytes:
    """The key of the record of the ``number``-th batch."""
    return b"%s%08d" % (_RECORD, number)


# An LMDB may be open only once in a process. A forked process uses the one that is open: without locks nothing in it
# belongs to one process.
_stores: dict[Path, Store] = {}
_opening = threading.Lock()


def open_store(target: Path) -> Store:
    """The store in ``target`` (a resolved path), opened by the first call in this process; raises as ``Store``."""
    with _opening:
        if target not in _stores:
            _stores[target] = Store(target)
        return _stores[target]


def close_store(target: Path) -> None:
    """Close the store in ``target`` if this process has it open; the next read opens it again."""
    store = _stores.pop(target, None)
    if store is not None:
        store.close()


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file or folder of a packed dataset: a ``Location``, as a ``Path`` is for files on the disk."""

    root: Path
    key: str = ""

    def __truediv__(self, name: str) -> Self:
        return PackedFile(self.root, join_key(self.key, name))

    @property
    def name(self) -> str:
        """The last part of the path; of the root the name of the folder that was packed."""
        if self.key:
            return self.key.rpartition("/")[2]
        manifest = open_store(self.root).manifest
        return self.root.name if manifest is None else Path(manifest.root).name

    def read_bytes(self) -> bytes:
        """The file's bytes; ``OSError`` as for a file on the disk, also for a store that is gone or damaged."""
        try:
            data = open_store(self.root).get(self.key)
        except ValueError as error:
            raise OSError(errno.EIO, str(error), str(self)) from error
        if data is None:
            raise FileNotFoundError(errno.ENOENT, "not in the packed dataset", str(self))
        return data

    def __str__(self) -> str:
        return f"{self.root}:{self.key}"


class PackedSource(Source):
    """The files of a packed dataset, by the keys of the LMDB alone: files and folders that were not packed are absent.
    Each has the stamp of the LMDB.

    Raises ``ValueError`` as ``open_store``. An LMDB of another program may be incomplete without a sign.
    """

    def __init__(self, root: Path, cache: Path | None = None) -> None:
        super().__init__(Path(os.path.realpath(root)), cache)
        manifest = open_store(self.root).manifest
        if manifest is None:
            self._held = ""
            logger.info("%s: an LMDB packed by another program; it may be incomplete without a sign", self.root)
        else:
            splits = ", ".join(manifest.splits)
            self._held = f", which holds {manifest.dataset} {splits}"
            logger.info("%s: %s %s, packed: %d files", self.root, manifest.dataset, splits, manifest.files)

    def location(self, key: str = "") -> Location:
        return Path(key) if key.startswith("/") else PackedFile(self.root, key)

    def key_of(self, location: Location) -> str:
        return location.key if isinstance(location, PackedFile) else str(location)

    def text(self, key: str) -> str:
        self._note(key)
        data = open_store(self.root).get(key)
        if data is None:
            raise self._not_packed(key)
        return decode_text(data, self.location(key), "replace")

    def names(self, key: str = "") -> list[str]:
        if not self.is_folder(key):
            raise self._not_packed(key)
        prefix = os.fsencode(key) + b"/" if key else b""
        names = []
        with naming_errors(self.root):
            cursor = open_store(self.root).transaction.cursor()
            found = cursor.set_range(prefix or _OWN_END)
            while found and (path := cursor.key()).startswith(prefix):
                name, slash, _ = path[len(prefix) :].partition(b"/")
                names.append(os.fsdecode(name))
                # The keys of a folder's files lie between its name with "/" and its name with the next byte, "0".
                found = cursor.set_range(prefix + name + b"0") if slash else cursor.next()
        return sorted(names)

    def is_folder(self, key: str) -> bool:
        self._note(key)
        return self._kind(key) == "folder"

    def peek(self, key: str) -> Stamp:
        return super().peek(DATA) if self._kind(key) else None

    def _kind(self, key: str) -> Literal["file", "folder"] | None:
        name = os.fsencode(key)
        if not name:
            return "folder"
        with naming_errors(self.root):
            # A cursor does not read the value, which ``get`` does, page by page.
            cursor = open_store(self.root).transaction.cursor()
            if cursor.set_key(name):
                return "file"
            return "folder" if cursor.set_range(name + b"/") and cursor.key().startswith(name + b"/") else None

    def _not_packed(self, key: str) -> ValueError:
        return ValueError(
            f"{self.location(key)}: not in the packed dataset{self._held}; pack what is needed, or use the folder"
        )


def open_source(root: Path, cache: Path | None = None) -> Source:
    """The files of the dataset whose folder is ``root``, or which was packed into it; for ``cache`` see ``Source``."""
    return (PackedSource if (Path(root) / DATA).exists() else Source)(root, cache)
