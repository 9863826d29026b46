"""Writing a file so that its name holds, whatever happens meanwhile, the earlier content or the whole new one; and the
digest by which a file is known."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write; at the end of the block it takes the place of ``path``, flushed to the disk.

    It is written beside ``path`` under the name with ``.tmp`` added. If the block or the disk fails, that file is
    removed and ``path`` is as before; one left by a killed process is overwritten by the next write.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_text(path: Path, text: str) -> None:
    """Puts text in place of ``path`` as ``replacing`` does; folders are made. ``OSError`` names the file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def is_utf8(path: Path) -> bool:
    """Whether the path's bytes on the disk are the UTF-8 of its letters, which OpenCV and LMDB open alone. At other
    names OpenCV crashes."""
    return os.fsencode(path) == str(path).encode("utf-8", "replace")


def file_sha256(path: Path) -> str:
    """Hexadecimal digest of the file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
