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


@contextmanager
def utf8_name(path: Path) -> Iterator[str]:
    """Within the block, a name in UTF-8 of a file or folder that is there: its path, or a descriptor's. At other names
    OpenCV crashes; LMDB, ONNX Runtime and TensorBoard refuse them."""
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
