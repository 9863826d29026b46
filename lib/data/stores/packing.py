"""Packs a dataset into an LMDB that ``lib.data.stores.packed`` reads, in batches that outlive a kill, and verifies
it."""

from __future__ import annotations

import errno
import hashlib
import os
import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Names
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import lmdb
from tqdm import tqdm

from lib.data.datasets.registry import find_dataset
from lib.data.stores.packed_store import (
    DATA,
    FILE,
    FOLDER,
    MANIFEST,
    MAX_KEY,
    Manifest,
    PackedEntry,
    check_batch,
    close_store,
    count_records,
    encode_manifest,
    encode_record,
    find_kind,
    find_names,
    inspect_store,
    naming_damage,
    open_environment,
    read_manifest,
    read_record,
    record_key,
)
from lib.data.stores.source import Source
from lib.runtime.children import KilledError, Pool
from lib.runtime.escapes import printable
from lib.runtime.files import utf8_name
from lib.runtime.locks import lock_of, only_writer

# Bytes of a transaction: what a kill loses at most, and what lies in memory.
BATCH = 64 * 2**20
# Addresses set aside at first, for the file to grow into; doubled when they are used up.
ADDRESSES = 2**30
# Files that are read at a time, for disks that answer late; processes that verify.
READERS = 8
PROCESSES = 8
# Lines and files that a message names, of how many there may be.
NAMED = 5
MAX_PROBLEMS = 20


@dataclass(frozen=True)
class PackSummary:
    """What ``pack_dataset`` did: the store and what it holds, and how much of that this run wrote, in how long."""

    target: Path
    dataset: str
    splits: dict[str, int]
    files: int
    size: int
    written: int
    written_size: int
    seconds: float

    def text(self) -> str:
        """One line for people."""
        splits = ", ".join(f"{split} ({count} sequences)" for split, count in self.splits.items())
        held = f"{self.target}: {self.dataset} {splits}, {self.files} files, {self.size / 1e6:.1f} MB"
        if not self.written:
            return f"{held}, packed before"
        speed = self.written_size / 1e6 / max(self.seconds, 1e-9)
        return f"{held}; {self.written} files written in {self.seconds:.1f} s ({speed:.0f} MB/s)"


def pack_dataset(name: str, splits: Names[str], root: Path, target: Path) -> PackSummary:
    """Pack splits of the dataset whose files lie in ``root`` into an LMDB in the folder ``target``.

    All images that the sequences name and all texts that their reader asks for are copied as they are, those of a
    sequence side by side. Stopped at any point, the same call goes on where the last batch ended. A complete store is
    never written to again, since others may read it; the call then says that it is there.

    Raises ``ValueError`` for annotations that cannot be read, images that cannot (at the end, with their number), a
    target that holds something else, a source that has changed since part of it was packed, and a disk that is full.
    """
    start = time.monotonic()
    find_dataset(name)
    if not splits:
        raise ValueError(f"name a split of {name}; it has: {', '.join(find_dataset(name).splits)}")
    source, target = _Questions(Path(os.path.realpath(root))), Path(os.path.realpath(target))
    started = Manifest(name, dict.fromkeys(splits, 0), str(source.root))
    _check_places(source.root, target)
    close_store(target)
    if _is_complete(target, started) and not lock_of(target).exists():
        return _compare(target, source.root, start)
    with only_writer(target):
        if _is_complete(target, started):  # by now, by another process
            return _compare(target, source.root, start)
        plan, counts = _plan(name, started.splits, source)
        with _naming_failure(target):
            target.mkdir(parents=True, exist_ok=True)
            with utf8_name(target) as path, closing(lmdb.open(path, map_size=ADDRESSES)) as environment:
                _put(environment, {MANIFEST: encode_manifest(replace(started, splits=counts))})
                _check_unchanged(environment, source.root, target)
                written, written_size = _copy(environment, plan, source.root, target)
                manifest = _finish(environment, replace(started, splits=counts), source, target)
    return _summary(target, manifest, written, written_size, start)


class _Questions(Source):
    """A folder that remembers what was asked of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.listed: set[str] = set()
        self.looked_for: set[str] = set()
        self._texts: list[str] = []

    def take_texts(self) -> list[str]:
        """The texts that were read since this was asked."""
        texts, self._texts = self._texts, []
        return texts

    def text(self, key: str) -> str:
        """As ``Source``."""
        text = super().text(key)
        self._texts.append(key)
        return text

    def names(self, key: str = "") -> list[str]:
        """As ``Source``."""
        self.listed.add(key)
        return super().names(key)

    def exists(self, key: str) -> bool:
        """As ``Source``."""
        self.looked_for.add(key)
        return super().exists(key)

    def is_folder(self, key: str) -> bool:
        """As ``Source``."""
        self.looked_for.add(key)
        return super().is_folder(key)


class _Files(NamedTuple):
    """Files of a folder to pack."""

    folder: str
    names: Names[str]

    def paths(self) -> Iterator[str]:
        for name in self.names:
            yield f"{self.folder}/{name}" if self.folder else str(name)


def _check_places(root: Path, target: Path) -> None:
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; name the folder of the dataset")
    if (root / DATA).exists():
        raise ValueError(f"{root}: is packed already; name the folder of the dataset to pack it")
    if target.is_relative_to(root):
        raise ValueError(f"{target}: lies in the dataset's folder; pack into another one")


def _is_complete(target: Path, started: Manifest) -> bool:
    """Whether all of it was packed before; ``ValueError`` if the target holds anything but that or a part of it."""
    if not (target / DATA).exists():
        return False
    with closing(open_environment(target)) as environment, naming_damage(target), environment.begin() as transaction:
        earlier = read_manifest(transaction, target)
        if earlier is None and transaction.stat()["entries"]:
            raise ValueError(f"{target}: holds an LMDB that another program packed; pack into another folder")
    if earlier is None:
        return False
    same = earlier.dataset == started.dataset
    if same and earlier.complete and set(started.splits) <= set(earlier.splits):
        return True
    if same and not earlier.complete and set(started.splits) == set(earlier.splits):
        return False
    held = f"{earlier.dataset} {' '.join(earlier.splits)}"
    if earlier.complete:
        raise ValueError(f"{target}: holds {held}, and others may read it; pack all splits into another folder at once")
    raise ValueError(
        f"{target}: holds a part of {held}; pack into another folder, or go on with: {earlier.command(target)}"
    )


def _compare(target: Path, root: Path, start: float) -> PackSummary:
    """The summary of a complete store, if its source is as it was."""
    with closing(open_environment(target)) as environment:
        _check_unchanged(environment, root, target)
        with naming_damage(target), environment.begin() as transaction:
            manifest = read_manifest(transaction, target)
    return _summary(target, manifest, 0, 0, start)


def _plan(name: str, splits: Iterable[str], source: _Questions) -> tuple[list[_Files], dict[str, int]]:
    """The files of each sequence in turn, its texts before its images, and how many sequences each split has."""
    dataset = find_dataset(name)
    plan, counts = [], {}
    for split in splits:
        counts[split] = 0
        entries = tqdm(
            dataset.entries(source, split),
            printable(f"{name} {split}"),
            dataset.expected.get(split),
            unit=" sequences",
            disable=None,
        )
        for entry in entries:
            frames = entry.read().frames
            folder = source.key_of(frames.folder)
            if folder.startswith("/"):
                raise ValueError(
                    f"{folder}: the frames of {entry.name} lie outside of {source.root}, as those of a video do; "
                    "only images in the dataset's folder are packed"
                )
            plan += [_Files("", source.take_texts()), _Files(folder, frames.names)]
            counts[split] += 1
        if not counts[split]:
            raise ValueError(f"{source.root}: {name} {split} has no sequence there; nothing to pack")
    return plan, counts


@contextmanager
def _naming_failure(target: Path) -> Iterator[None]:
    """Turns an error of LMDB's while writing into ``ValueError`` naming the store."""
    try:
        yield
    except lmdb.Error as error:
        raise ValueError(
            f"{target / DATA}: cannot be written ({error}); make room if the disk is full, then run the same command "
            "again: it goes on from here"
        ) from error


def _put(environment: lmdb.Environment, values: dict[bytes, bytes]) -> None:
    """Write all of these or, stopped meanwhile, none."""
    while True:
        try:
            with environment.begin(write=True) as transaction:
                for key, value in values.items():
                    transaction.put(key, value)
            return
        except lmdb.MapFullError:
            environment.set_mapsize(2 * environment.info()["map_size"])


def _check_unchanged(environment: lmdb.Environment, root: Path, target: Path) -> None:
    """``ValueError`` for the first packed file whose source has another size or time of change now."""
    with naming_damage(target), environment.begin() as transaction:
        count = count_records(transaction)
        for number in tqdm(range(count), "compare with the source", unit=" batches", disable=None if count else True):
            for entry in read_record(transaction, number, target)[0]:
                path = os.path.join(root, entry.key)
                try:
                    status = os.stat(path)
                except OSError as error:
                    change = f"cannot be read ({error.strerror})"
                else:
                    if (status.st_size, status.st_mtime_ns) == (entry.size, entry.modified):
                        continue
                    change = "has changed"
                raise ValueError(f"{path}: {change} since it was packed; remove {target} and pack again")


def _copy(environment: lmdb.Environment, plan: list[_Files], root: Path, target: Path) -> tuple[int, int]:
    """Write the files that are not in the store yet; how many, and their bytes.

    Raises ``ValueError`` at the end if some cannot be read.
    """
    under_way: set[str] = set()
    batch: dict[bytes, bytes] = {}
    entries: list[PackedEntry] = []
    unreadable: list[str] = []
    failed, written, written_size, batch_size = 0, 0, 0, 0

    def write() -> None:
        with environment.begin() as transaction:
            batch[record_key(count_records(transaction))] = encode_record(entries)
        _put(environment, batch)
        under_way.difference_update(entry.key for entry in entries)
        batch.clear()
        entries.clear()

    with tqdm(total=sum(len(files.names) for files in plan), desc="pack", unit=" files", disable=None) as bar:
        keys = _missing_keys(environment, plan, under_way, bar)
        for key, reading in _read_ahead(keys, root):
            try:
                data, modified, crc = reading.result()
            except OSError as error:
                failed += 1
                if len(unreadable) < NAMED:
                    unreadable.append(f"{os.path.join(root, key)} ({error.strerror})")
                continue
            batch[os.fsencode(key)] = data
            entries.append(PackedEntry(key, len(data), modified, crc))
            written, written_size, batch_size = written + 1, written_size + len(data), batch_size + len(data)
            if batch_size >= BATCH:
                write()
                batch_size = 0
                bar.set_postfix_str(f"{written_size / 1e6:.0f} MB", refresh=False)
        if entries:
            write()
    if failed:
        more = f" and {failed - len(unreadable)} more" if failed > len(unreadable) else ""
        raise ValueError(
            f"{failed} files cannot be read: {', '.join(unreadable)}{more}; complete the dataset, then run the same "
            f"command again: the others lie in {target}"
        )
    return written, written_size


def _missing_keys(environment: lmdb.Environment, plan: list[_Files], under_way: set[str], bar: tqdm) -> Iterator[str]:
    """The keys that are neither in the store nor ``under_way``, to which each is added."""
    for files in plan:
        for key in files.paths():
            bar.update()
            name = os.fsencode(key)
            if len(name) > MAX_KEY:
                raise ValueError(f"{key}: a path of more than {MAX_KEY} bytes, which LMDB cannot hold; shorten it")
            if key in under_way:
                continue
            with environment.begin() as transaction:
                # A cursor does not read the value, as ``get`` does.
                if transaction.cursor().set_key(name):
                    continue
            under_way.add(key)
            yield key


def _read_ahead(keys: Iterable[str], root: Path) -> Iterator[tuple[str, Future[tuple[bytes, int, int]]]]:
    """Each key with what ``_read`` gives of its file, in order, while the next files are being read."""
    waiting: deque[tuple[str, Future[tuple[bytes, int, int]]]] = deque()
    with ThreadPoolExecutor(READERS) as executor:
        for key in keys:
            waiting.append((key, executor.submit(_read, os.path.join(root, key))))
            if len(waiting) > 2 * READERS:
                yield waiting.popleft()
        yield from waiting


def _read(path: str) -> tuple[bytes, int, int]:
    """A file's bytes, its time of change (nanoseconds), and the crc of the bytes; ``OSError``."""
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        data = file.read()
    if len(data) != status.st_size:
        raise OSError(errno.EIO, "changed while it was read", path)
    return data, status.st_mtime_ns, zlib.crc32(data)


def _finish(environment: lmdb.Environment, started: Manifest, source: _Questions, target: Path) -> Manifest:
    """Write the manifest that makes the store complete."""
    for key, stamp in list(source.stamps.items()):
        if source.stamp(key) != stamp:
            raise ValueError(
                f"{source.location(key)}: changed while the dataset was packed; run the same command again"
            )
    names, kinds = {}, {}
    with environment.begin() as transaction:
        for key in sorted(source.listed):
            if source.is_folder(key) and (listing := source.names(key)) != find_names(transaction, key):
                names[key] = listing
        for key in sorted(source.looked_for):
            kind = _kind(source, key)
            if kind != (FOLDER if key in names else find_kind(transaction, key)):
                kinds[key] = kind
        files, size, digests = 0, 0, hashlib.sha256()
        records = count_records(transaction)
        for number in range(records):
            entries, digest = read_record(transaction, number, target)
            digests.update(digest)
            files, size = files + len(entries), size + sum(entry.size for entry in entries)
    manifest = replace(
        started,
        complete=True,
        files=files,
        size=size,
        records=records,
        digest=digests.hexdigest(),
        names=names,
        kinds=kinds,
    )
    _put(environment, {MANIFEST: encode_manifest(manifest)})
    return manifest


def _kind(source: Source, key: str) -> str | None:
    if source.is_folder(key):
        return FOLDER
    return FILE if source.exists(key) else None


def _summary(target: Path, manifest: Manifest, written: int, written_size: int, start: float) -> PackSummary:
    return PackSummary(
        target,
        manifest.dataset,
        dict(manifest.splits),
        manifest.files,
        manifest.size,
        written,
        written_size,
        time.monotonic() - start,
    )


def verify_packed(target: Path, root: Path | None = None) -> list[str]:
    """What is wrong with the store in ``target``, a line each; none if it is whole.

    Every file is there and has the bytes that were packed, by their crc, and nothing else is there. With ``root`` they
    are also compared with the files of that folder. The store is read in other processes: a damaged one may kill them.
    """
    target = Path(os.path.realpath(target))
    try:
        with Pool(min(os.cpu_count() or 1, PROCESSES), "read the store") as pool:
            ((manifest, entries, records),) = pool.each(inspect_store, [target])
            return _verify(target, root, pool, manifest, entries, records)
    except KilledError:
        return [
            f"{target / DATA}: a process that read it was killed: it is damaged, or memory is short; verify it again, "
            "then copy or pack it again"
        ]
    except ValueError as error:
        return [str(error)]


def _verify(target: Path, root: Path | None, pool: Pool, manifest: Manifest, entries: int, records: int) -> list[str]:
    """The problems, the first of them in words; ``entries`` and ``records`` are how many the store has."""
    problems, more, files, digests = [], 0, 0, hashlib.sha256()
    checks = pool.each(partial(check_batch, target, root=root), range(records))
    for found, count, digest in tqdm(checks, "verify", records, unit=" batches", disable=None):
        problems += found[: MAX_PROBLEMS - len(problems)]
        more += len(found)
        files += count
        digests.update(digest)
    more -= len(problems)
    if more:
        problems.append(f"{target}: {more} problems more")
    keys = manifest.files + manifest.records + 1
    if (files, entries) != (manifest.files, keys) or digests.hexdigest() != manifest.digest:
        problems.append(
            f"{target / DATA}: holds {entries} keys and records of {files} files, its manifest says {keys} and "
            f"{manifest.files}, or others; pack it again"
        )
    return problems
