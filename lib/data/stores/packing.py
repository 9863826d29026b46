"""Packs a dataset into an LMDB for ``lib.data.stores.packed``, in batches that survive a kill, and verifies it."""

import errno
import json
import os
import zlib
from collections import abc
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import lmdb
from tqdm import tqdm

from lib.data.datasets.registry import find_dataset
from lib.data.files.source import Source, join_key
from lib.data.stores.packed import (
    DATA,
    MANIFEST_KEY,
    MAX_KEY,
    Manifest,
    PackedEntry,
    Store,
    close_store,
    naming_errors,
    open_store,
    record_key,
)
from lib.runtime.children import KilledError, Processes
from lib.runtime.escapes import printable
from lib.runtime.files import utf8_name
from lib.runtime.locks import only_writer
from lib.runtime.threads import in_threads

BATCH = 128  # files of a transaction: they lie in memory, and a kill loses them at most
ADDRESSES = 2**30  # bytes set aside at first, for the file to grow into; doubled when they are used up
THREADS = 8  # that read files, for disks that answer late, and that verify
NAMED = 5  # unreadable files in a message
MAX_PROBLEMS = 20  # of a verification

# A folder and names in it: the files of a sequence, without a path for each.
_Files = tuple[str, abc.Sequence[str]]


@dataclass(frozen=True)
class PackSummary:
    """The store that ``pack_dataset`` made, and the number of files that this run wrote."""

    target: Path
    manifest: Manifest
    written: int

    def text(self) -> str:
        """One line for people."""
        held = self.manifest
        splits = ", ".join(f"{split} ({count} sequences)" for split, count in held.splits.items())
        done = f"; {self.written} files written" if self.written else ", packed before"
        return f"{self.target}: {held.dataset} {splits}, {held.files} files, {held.size / 1e6:.1f} MB{done}"


def pack_dataset(name: str, splits: abc.Sequence[str], root: Path, target: Path) -> PackSummary:
    """Pack splits of the dataset whose files lie in ``root`` into an LMDB in the folder ``target``.

    All files that the reader of the dataset asks for and all images of the sequences are copied as they are, the images
    of a sequence side by side. Stopped at any point, the same call resumes after the last batch. A complete store is
    never written to again, since others may read it.

    Raises ``ValueError`` for annotations that cannot be read, images that cannot (at the end, with their number), a
    target that holds something else, a source that has changed since part of it was packed, and a disk that is full.
    """
    if not splits:
        raise ValueError(f"name a split of {name}; it has: {', '.join(find_dataset(name).splits)}")
    source, target = Source(Path(os.path.realpath(root))), Path(os.path.realpath(target))
    if not source.root.is_dir():
        raise ValueError(f"{source.root}: no such folder; name the folder of the dataset")
    if (source.root / DATA).exists():
        raise ValueError(f"{source.root}: is packed already; name the folder of the dataset to pack it")
    if target.is_relative_to(source.root):
        raise ValueError(f"{target}: lies in the dataset's folder; pack into another one")
    close_store(target)
    with only_writer(target):
        manifest = earlier = _find_earlier(target, name, splits, source)
        if manifest is None or not manifest.complete:
            plan, counts = _plan(name, dict.fromkeys(splits), source)
            manifest = replace(manifest or Manifest(name, counts, ""), root=str(source.root))
            target.mkdir(parents=True, exist_ok=True)
            with _writing(target) as environment:
                _put(environment, {MANIFEST_KEY: manifest.encode()})
                manifest = _copy(environment, manifest, plan, target)
                if changed := source.changed(source.stamps.items()):
                    raise ValueError(f"{changed}: changed while the dataset was packed; run the same command again")
                manifest = replace(manifest, complete=True)
                _put(environment, {MANIFEST_KEY: manifest.encode()})
    return PackSummary(target, manifest, manifest.files - (earlier.files if earlier else 0))


def _find_earlier(target: Path, name: str, splits: Iterable[str], source: Source) -> Manifest | None:
    """The manifest of a store that is complete or can be resumed, None if there is none.

    Raises ``ValueError`` if the target holds anything else, or if a packed file has another size or time of change now.
    """
    if not (target / DATA).exists():
        return None
    with closing(Store(target, unfinished=True)) as store:
        earlier = store.manifest
        if earlier is None and store.entries:
            raise ValueError(f"{target}: holds an LMDB that another program packed; pack into another folder")
        if earlier is None:
            return None
        missing, others = set(splits) - set(earlier.splits), set(earlier.splits) - set(splits)
        if earlier.dataset != name or missing or (others and not earlier.complete):
            held, way = f"{earlier.dataset} {' '.join(earlier.splits)}", "pack all splits into another folder at once"
            if earlier.complete:
                raise ValueError(f"{target}: holds {held}, and others may read it; {way}")
            raise ValueError(f"{target}: holds a part of {held}; {way}, or go on with: {earlier.command(target)}")
        if store.entries != 1 + earlier.files + earlier.records:
            raise ValueError(f"{target}: is damaged, or an earlier version began to pack it; remove it and pack again")
        numbers = range(earlier.records)
        progress = tqdm(numbers, "compare with the source", unit=" batches", disable=None if numbers else True)
        packed = (entry for number in progress for entry in store.record(number))
        if changed := source.changed((entry.key, (entry.size, entry.modified)) for entry in packed):
            raise ValueError(f"{changed}: has changed or is gone since it was packed; remove {target} and pack again")
    return earlier


def _plan(name: str, splits: Iterable[str], source: Source) -> tuple[list[_Files], dict[str, int]]:
    """The files that the reader asked for, then the images of each sequence in turn, and the number of sequences of
    each split."""
    dataset = find_dataset(name)
    plan: list[_Files] = []
    counts = {}
    for split in splits:
        count, expected = 0, dataset.expected.get(split)
        entries = dataset.entries(source, split)
        for entry in tqdm(entries, printable(f"{name} {split}"), expected, unit=" sequences", disable=None):
            frames = entry.read().frames
            folder = source.key_of(frames.folder)
            if folder.startswith("/"):
                raise ValueError(
                    f"{folder}: the frames of {entry.name} lie outside of {source.root}, as those of a video do; "
                    "only images in the dataset's folder are packed"
                )
            plan.append((folder, frames.names))
            count += 1
        counts[split] = count
    return [("", [key for key in source.stamps if (source.root / key).is_file()]), *plan], counts


@contextmanager
def _writing(target: Path) -> Iterator[lmdb.Environment]:
    remedy = "make room if the disk is full, then run the same command again: it goes on from here"
    with (
        naming_errors(target, "cannot be written", remedy),
        utf8_name(target) as path,
        closing(lmdb.open(path, map_size=ADDRESSES)) as environment,
    ):
        yield environment


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


def _copy(environment: lmdb.Environment, manifest: Manifest, plan: list[_Files], target: Path) -> Manifest:
    """Write the files that are not in the store yet; returns the manifest as it is then.

    Raises ``ValueError`` at the end if some cannot be read.
    """
    root, unreadable = Path(manifest.root), []
    keys = (join_key(folder, str(name)) for folder, names in plan for name in names)
    with tqdm(total=sum(len(names) for _, names in plan), desc="pack", unit=" files", disable=None) as bar:
        while batch := list(islice(keys, BATCH)):
            missing = _missing(environment, batch)
            values, entries = {}, []
            for key, read in zip(missing, in_threads(partial(_read, root), missing, THREADS), strict=True):
                if isinstance(read, OSError):
                    unreadable.append(f"{os.path.join(root, key)} ({read.strerror})")
                    continue
                data, modified = read
                values[os.fsencode(key)] = data
                entries.append(PackedEntry(key, len(data), modified, zlib.crc32(data)))
            if entries:
                values[record_key(manifest.records)] = zlib.compress(json.dumps(entries).encode())
                manifest = replace(
                    manifest,
                    files=manifest.files + len(entries),
                    size=manifest.size + sum(entry.size for entry in entries),
                    records=manifest.records + 1,
                )
                _put(environment, {**values, MANIFEST_KEY: manifest.encode()})
            bar.update(len(batch))
    if unreadable:
        more = f" and {len(unreadable) - NAMED} more" if len(unreadable) > NAMED else ""
        raise ValueError(
            f"{len(unreadable)} files cannot be read: {', '.join(unreadable[:NAMED])}{more}; complete the dataset, "
            f"then run the same command again: the others lie in {target}"
        )
    return manifest


def _missing(environment: lmdb.Environment, keys: list[str]) -> list[str]:
    """The distinct keys that are not in the store. Raises ``ValueError`` for one that is too long for it."""
    for key in keys:
        if len(os.fsencode(key)) > MAX_KEY:
            raise ValueError(f"{key}: a path of more than {MAX_KEY} bytes, which LMDB cannot hold; shorten it")
    with environment.begin() as transaction:
        cursor = transaction.cursor()  # does not read the value, as ``get`` does
        return [key for key in dict.fromkeys(keys) if not cursor.set_key(os.fsencode(key))]


def _read(root: Path, key: str) -> tuple[bytes, int] | OSError:
    """A file's bytes and its time of change (nanoseconds)."""
    path = os.path.join(root, key)
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            data = file.read()
    except OSError as error:
        return error
    if len(data) != status.st_size:
        return OSError(errno.EIO, "changed while it was read", path)
    return data, status.st_mtime_ns


def verify_packed(target: Path, root: Path | None = None) -> list[str]:
    """The problems of the store in ``target``, a line each; none if it is whole.

    Every packed file must be there with the bytes that were packed, by their CRC, and nothing else. With ``root`` they
    are also compared with the files of that folder. Another process reads the store: a damaged one may kill it.
    """
    target = Path(os.path.realpath(target))
    try:
        with Processes(1) as process:
            return process.submit(_verify, target, root).result()
    except KilledError:
        return [
            f"{target / DATA}: a process that read it was killed: it is damaged, or memory is short; verify it again, "
            "then copy or pack it again"
        ]


def _verify(target: Path, root: Path | None) -> list[str]:
    problems, files = [], 0
    try:
        store = open_store(target)
        manifest = store.manifest
        if manifest is None:
            return [f"{target}: packed by another program, so there is nothing to verify it against"]
        checks = in_threads(partial(check_batch, target, root=root), range(manifest.records), THREADS)
        for found, count in tqdm(checks, "verify", manifest.records, unit=" batches", disable=None):
            problems += found
            files += count
    except ValueError as error:
        return [str(error)]
    if len(problems) > MAX_PROBLEMS:
        problems[MAX_PROBLEMS:] = [f"{target}: {len(problems) - MAX_PROBLEMS} problems more"]
    keys = manifest.files + manifest.records + 1
    if (files, store.entries) != (manifest.files, keys):
        problems.append(
            f"{target / DATA}: holds {store.entries} keys and records of {files} files, its manifest states {keys} and "
            f"{manifest.files}; pack it again"
        )
    return problems


def check_batch(target: Path, number: int, root: Path | None) -> tuple[list[str], int]:
    """The problems of the files of a batch, a line each, and their number.

    With ``root`` they are also compared with the files of that folder. ``ValueError`` if the store is damaged.
    """
    store, problems = open_store(target), []
    entries = store.record(number)
    for key, size, _, crc in entries:
        data, problem = store.get(key), ""
        if data is None:
            problem = "is missing"
        elif len(data) != size:
            problem = f"has {len(data)} bytes instead of {size}"
        elif zlib.crc32(data) != crc:
            problem = "differs from the packed file: its checksum differs"
        elif root is not None:
            file = Path(root) / key
            try:
                problem = "" if file.read_bytes() == data else f"differs from {file}"
            except OSError as error:
                problem = f"cannot be compared with {file} ({error.strerror})"
        if problem:
            problems.append(f"{target}:{key}: {problem}; copy or pack it again")
    return problems, len(entries)
