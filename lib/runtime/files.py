"""Files and folders that are written as a whole: after a crash at any moment, a name holds the earlier or the new
content. Also digests of files, and names for libraries that need UTF-8."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from lib.runtime.locks import take_lock


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write; at the end of the block it is flushed to the disk and takes the place of ``path``.

    It is written beside ``path`` as ``.<12 hex digits>.tmp``, a name that no other writer has. If the block or the disk
    fails, that file is removed and ``path`` is unchanged; ``OSError`` names ``path``. The next write in the folder
    removes the files of killed processes, which nobody locks.
    """
    _remove_abandoned(path.parent)
    file = _open_temporary(path)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)  # before its lock is released with it
    except BaseException as error:
        Path(file.name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, file.name):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _open_temporary(path: Path) -> BinaryIO:
    """The locked temporary file; ``OSError`` names ``path``."""
    while True:
        try:
            file = open(path.with_name(f".{uuid4().hex[:12]}.tmp"), "xb")  # noqa: SIM115 - the caller closes it
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        take_lock(file.fileno(), wait=True)
        if os.path.exists(file.name):
            return file
        file.close()  # another writer removed it as abandoned before it was locked


def _remove_abandoned(folder: Path) -> None:
    for left in folder.glob(f".{'[0-9a-f]' * 12}.tmp"):
        with suppress(OSError), open(left, "r+b") as file:
            if take_lock(file.fileno()):  # never on a disk without locks
                left.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes ``path`` as ``replacing`` does, and makes its folder. ``OSError`` names the file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill, ``.NAME.unfinished`` beside ``path``; at the end of the block it becomes ``path``, which
    is absent or empty until then.

    If the block fails, it is removed; if the process is killed, the next call removes it. The caller keeps other
    processes away, by ``lib.runtime.locks.only_writer``.
    """
    unfinished = path.with_name(f".{path.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # nothing is there after the renaming


@contextmanager
def utf8_name(path: Path) -> Iterator[str]:
    """A UTF-8 name for an existing file or folder within the block: its path, or that of an open descriptor. With other
    names OpenCV crashes, and LMDB, ONNX Runtime and TensorBoard raise errors."""
    if os.fsencode(path) == str(path).encode("utf-8", "replace"):
        yield str(path)
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """Hexadecimal digest of the file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
