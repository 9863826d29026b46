"""The LMDB of a packed dataset: its format, how it is opened in a process, and what is wrong with a batch of it.

A key is a file's path below the dataset's root, its value the file's bytes as they are. STARK's and OSTrack's authors
pack in the same way (lib/utils/lmdb_utils.py there), so their LMDBs are read too. What ``lib.data.stores.packing`` adds
stands under keys that begin with NUL, which no path holds: a manifest, and records of what was packed, to go on and to
verify."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import lmdb

from lib.runtime.files import utf8_name
from lib.runtime.json_text import parse_json

DATA = "data.mdb"
FORMAT = 1
FILE, FOLDER = "file", "folder"
MAX_KEY = 511  # bytes, of LMDB
MANIFEST = b"\0manifest"
_RECORD = b"\0record"
_OWN_END = b"\1"  # the store's own keys lie before it, paths after


@dataclass(frozen=True)
class Manifest:
    """What a store says of itself.

    * ``splits``: sequences of each split that was packed; ``root``: the folder it was packed from.
    * ``complete``: False while it is being packed; nobody reads it until then.
    * ``files``, ``size``: how many files, and their bytes; ``records`` and ``digest`` of the records of them.
    * ``names``, ``kinds``: answers of that folder that the packed files alone do not give (a folder's listing holds
      more than was packed): names in a folder; ``file``, ``folder`` or None where there is nothing.
    """

    dataset: str
    splits: Mapping[str, int]
    root: str
    complete: bool = False
    files: int = 0
    size: int = 0
    records: int = 0
    digest: str = ""
    names: Mapping[str, list[str]] = field(default_factory=dict)
    kinds: Mapping[str, str | None] = field(default_factory=dict)

    def command(self, target: Path) -> str:
        """The command that packs it, and goes on where it was stopped."""
        words = ["pack", self.dataset, "--root", self.root]
        for split in self.splits:
            words += ["--split", split]
        words += ["--out", str(target)]
        return f"python tracking/prepare_data.py {shlex.join(words)}"


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as it is stored: format, crc and JSON."""
    content = json.dumps(asdict(manifest)).encode()
    return b"%d %08x\n%s" % (FORMAT, zlib.crc32(content), content)


def read_manifest(transaction: lmdb.Transaction, target: Path) -> Manifest | None:
    """The manifest of the store in ``target``, None for an LMDB of another program.

    Raises ``ValueError`` for another format or a damaged manifest.
    """
    stored = transaction.get(MANIFEST)
    if stored is None:
        return None
    head, _, content = stored.partition(b"\n")
    number, _, crc = head.partition(b" ")
    if number.isdigit() and int(number) != FORMAT:
        raise ValueError(f"{target}: packed in format {int(number)}, not in this version's {FORMAT}; pack it again")
    if crc != b"%08x" % zlib.crc32(content):
        raise ValueError(f"{target}: its manifest is damaged; copy or pack it again")
    try:
        return Manifest(**parse_json(content))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{target}: its manifest is damaged ({error}); copy or pack it again") from error


class PackedEntry(NamedTuple):
    """A file that was packed: its key, size in bytes, time of change (nanoseconds) then, and the crc of its bytes."""

    key: str
    size: int
    modified: int
    crc: int


def record_key(number: int) -> bytes:
    """Under which the files of the ``number``-th batch are recorded."""
    return b"%s%08d" % (_RECORD, number)


def encode_record(entries: list[PackedEntry]) -> bytes:
    """The files of a batch as they are stored."""
    return zlib.compress(json.dumps(entries).encode())


def read_record(transaction: lmdb.Transaction, number: int, target: Path) -> tuple[list[PackedEntry], bytes]:
    """The files of the ``number``-th batch, and a digest of their record; ``ValueError`` if it is damaged."""
    stored = transaction.get(record_key(number)) or b""
    try:
        entries = [PackedEntry(*entry) for entry in parse_json(zlib.decompress(stored))]
    except (zlib.error, ValueError, TypeError) as error:
        raise ValueError(f"{target / DATA}: the record of batch {number} is damaged; copy or pack it again") from error
    return entries, hashlib.sha256(stored).digest()


def count_records(transaction: lmdb.Transaction) -> int:
    """How many batches are recorded; their numbers count from 0."""
    cursor = transaction.cursor()
    after = cursor.set_range(_OWN_END)
    key = cursor.key() if (cursor.prev() if after else cursor.last()) else b""
    return int(key.removeprefix(_RECORD)) + 1 if key.startswith(_RECORD) else 0


def find_kind(transaction: lmdb.Transaction, key: str) -> str | None:
    """``file``, ``folder`` or None, as the packed files alone tell."""
    name = os.fsencode(key)
    if not name:
        return FOLDER
    if len(name) > MAX_KEY:
        return None
    # A cursor does not read the value, which ``get`` does, page by page.
    cursor = transaction.cursor()
    if cursor.set_key(name):
        return FILE
    inside = name + b"/"
    found = len(inside) <= MAX_KEY and cursor.set_range(inside) and cursor.key().startswith(inside)
    return FOLDER if found else None


def find_names(transaction: lmdb.Transaction, key: str) -> list[str]:
    """The names in a folder, sorted as text, as the packed files alone tell; none if it is no folder."""
    prefix = os.fsencode(key) + b"/" if key else b""
    names = []
    cursor = transaction.cursor()
    found = len(prefix) <= MAX_KEY and cursor.set_range(prefix or _OWN_END)
    while found and (path := cursor.key()).startswith(prefix):
        name, slash, _ = path[len(prefix) :].partition(b"/")
        names.append(os.fsdecode(name))
        # What lies in a folder lies between its name with "/" and its name with the next byte, "0".
        found = cursor.set_range(prefix + name + b"0") if slash else cursor.next()
    return sorted(names)


def open_environment(target: Path) -> lmdb.Environment:
    """The LMDB in the folder ``target``, open for reading.

    It may not be open in this process already. Raises ``ValueError`` if there is none, for one of another version and
    for one cut short: reading on where the file has ended would kill the process.
    """
    file = target / DATA
    try:
        size = file.stat().st_size
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}; check the path, or pack the dataset again") from error
    try:
        # No locks: nobody writes into a complete store, and it may lie where readers may not write. With read-ahead:
        # without it, as the lineage opens it, an image outside the page cache is fetched page by page (200 kB: 3 ms
        # where 0.7 ms will do, measured on a virtual disk).
        with utf8_name(target) as name:
            environment = lmdb.open(name, readonly=True, lock=False, create=False)
    except lmdb.Error as error:
        reason = str(error).removeprefix(f"{target}: ") if size else "the file is empty"
        raise ValueError(f"{file}: cannot be opened as an LMDB ({reason}); copy or pack it again") from error
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if size < needed:
        environment.close()
        raise ValueError(f"{file}: cut short, {size} of {needed} bytes; copy or pack it again")
    return environment


class Store:
    """A packed dataset that is open for reading, through one transaction that lasts as long as the process.

    Raises ``ValueError`` as ``open_environment`` and ``read_manifest`` do, and for one that is empty or not complete.
    """

    def __init__(self, target: Path) -> None:
        self.identity = _identity(target)
        self.environment = open_environment(target)
        try:
            with naming_damage(target):
                self.transaction = self.environment.begin()
                self.manifest = read_manifest(self.transaction, target)
                empty = not self.transaction.stat()["entries"]
            if empty:
                raise ValueError(f"{target}: an LMDB that holds nothing; pack the dataset again")
            if self.manifest is not None and not self.manifest.complete:
                raise ValueError(f"{target}: not packed completely; go on with: {self.manifest.command(target)}")
        except ValueError:
            self.environment.close()
            raise

    def get(self, key: str) -> bytes | None:
        """The bytes of a file, None if there is none of that path."""
        name = os.fsencode(key)
        return self.transaction.get(name) if 0 < len(name) <= MAX_KEY else None


# An LMDB may be open only once in a process. A forked process uses the one that is open: without locks there is nothing
# in it that belongs to one process.
_stores: dict[Path, Store] = {}
_opening = threading.Lock()


def open_store(target: Path) -> Store:
    """The store in ``target`` (a resolved path), opened by the first who asks in this process; raises as ``Store``."""
    store = _stores.get(target)
    if store is None:
        with _opening:
            store = _stores.get(target) or Store(target)
            _stores[target] = store
    return store


def open_store_anew(target: Path) -> Store:
    """As ``open_store``, but a file that is not the one that was opened is opened in its place."""
    store = _stores.get(target)
    if store is not None and store.identity != _identity(target):
        close_store(target)
    return open_store(target)


def close_store(target: Path) -> None:
    """Close the store in ``target`` if this process has it open; who reads from it opens it again."""
    store = _stores.pop(target, None)
    if store is not None:
        store.environment.close()


@contextmanager
def naming_damage(target: Path) -> Iterator[None]:
    """Turns an error of LMDB's into ``ValueError`` naming the store."""
    try:
        yield
    except lmdb.Error as error:
        raise ValueError(f"{target / DATA}: damaged ({error}); copy or pack it again") from error


def inspect_store(target: Path) -> tuple[Manifest, int, int]:
    """Manifest, number of keys and of records of a store; ``ValueError`` if it cannot be verified."""
    store = open_store(target)
    if store.manifest is None:
        raise ValueError(f"{target}: packed by another program, so there is nothing to verify it against")
    with naming_damage(target):
        return store.manifest, store.transaction.stat()["entries"], count_records(store.transaction)


def check_batch(target: Path, number: int, root: Path | None) -> tuple[list[str], int, bytes]:
    """What is wrong with the files of a batch, a line each; their number, and the digest of their record.

    With ``root`` they are also compared with the files of that folder. ``ValueError`` if the record is damaged.
    """
    store = open_store(target)
    with naming_damage(target):
        entries, digest = read_record(store.transaction, number, target)
    problems = []
    for entry in entries:
        try:
            wrong = _find_difference(entry, store.get(entry.key), root)
        except lmdb.Error as error:
            wrong = f"cannot be found ({error})"
        if wrong:
            problems.append(f"{target}:{entry.key}: {wrong}; copy or pack it again")
    return problems, len(entries), digest


def _find_difference(entry: PackedEntry, data: bytes | None, root: Path | None) -> str | None:
    """What is wrong with the bytes of a file."""
    if data is None:
        return "is missing"
    if len(data) != entry.size:
        return f"has {len(data)} bytes instead of {entry.size}"
    if zlib.crc32(data) != entry.crc:
        return "is not what was packed: its checksum differs"
    if root is not None:
        file = Path(root) / entry.key
        try:
            if file.read_bytes() != data:
                return f"differs from {file}"
        except OSError as error:
            return f"cannot be compared with {file} ({error.strerror})"
    return None


def _identity(target: Path) -> tuple[int, ...] | None:
    """What changes when another file takes the place of the store's, None if there is none."""
    try:
        status = os.stat(target / DATA)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
