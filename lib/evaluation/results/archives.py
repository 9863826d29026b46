"""Zip archives of strangers: every member is checked before one is read, and none is written outside its folder."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path

# Bounds for results: a line of a box takes less than 80 bytes, so a member holds a million frames, and an archive those
# of a dozen trackers on every benchmark.
MEMBER_BYTES = 128 * 2**20
TOTAL_BYTES = 4 * 2**30
MEMBERS = 200_000
# What is read as a whole lies in memory: a submission has less than 50 MB.
READ_BYTES = 2**30

_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, NotImplementedError, RuntimeError,
    ValueError, OverflowError,
)  # fmt: skip


class ArchiveError(ValueError):
    """An archive that cannot be trusted or read; one line with the archive, the member and what is wrong with it."""


class Archive:
    """The files of a zip, checked by ``open_archive``; ``with`` closes it."""

    def __init__(self, path: Path, file: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> None:
        self.path = path
        self._file = file
        self._members = members

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing can be read afterwards."""
        self._file.close()

    def names(self) -> tuple[str, ...]:
        """The files' names, ``/`` between folders, in the archive's order; folders have none."""
        return tuple(self._members)

    def size(self, name: str) -> int:
        """Bytes of a file when unpacked."""
        return self._members[name].file_size

    def read(self, name: str) -> bytes:
        """The content of a file; ``ArchiveError`` if it is damaged or longer than the archive says."""
        member = self._members[name]
        try:
            with self._file.open(member) as stream:
                # Never more than is announced: a stream may hold much more, and would be unpacked in one piece.
                content = stream.read(member.file_size + 1)
        except _DAMAGE as error:
            raise ArchiveError(
                f"{self.path}: {name} is damaged ({_one_line(error)}); get or make the archive again"
            ) from error
        if len(content) != member.file_size:
            raise ArchiveError(
                f"{self.path}: {name} has more or less than the {member.file_size} bytes it announces; get or make the "
                "archive again"
            )
        return content


def open_archive(path: Path) -> Archive:
    """A zip whose members are harmless.

    Raises ``ArchiveError`` for a file that is no whole zip, and for one with a member that has an absolute name, ``..``
    or a backslash in it, that is a link or a device, encrypted, there twice, a file and a folder at once, or larger
    than any result (``MEMBER_BYTES``, ``TOTAL_BYTES``, ``MEMBERS``).
    """
    try:
        file = zipfile.ZipFile(path)
    except _DAMAGE as error:
        raise ArchiveError(f"{path}: not a whole zip archive ({_one_line(error)}); get or make it again") from error
    try:
        return Archive(path, file, _checked_members(path, file))
    except ArchiveError:
        file.close()
        raise


def read_members(path: Path) -> dict[str, bytes]:
    """The content of every file of a zip by its name; ``ArchiveError`` as ``open_archive`` and ``Archive.read``, and
    for more than ``READ_BYTES``."""
    with open_archive(path) as archive:
        total = sum(map(archive.size, archive.names()))
        if total > READ_BYTES:
            raise ArchiveError(f"{path}: unpacks to {total} bytes, more than any results ({READ_BYTES})")
        return {name: archive.read(name) for name in archive.names()}


def unpack(path: Path, folder: Path) -> None:
    """Write the files of a zip into ``folder``, which must be new or empty; on any error it is left as it was.

    Raises ``ArchiveError`` as ``open_archive`` and ``Archive.read``, for a ``folder`` in use, and if the disk refuses.
    """
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise ArchiveError(f"{folder}: is there already, so {path} is not unpacked into it; name a new folder")
    with open_archive(path) as archive:
        part = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        try:
            part.mkdir(parents=True)
            for name in archive.names():
                target = part / name
                assert target.resolve().is_relative_to(part.resolve()), f"{name} passed the check"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(name))
            os.replace(part, folder)
        except OSError as error:
            raise ArchiveError(f"{folder}: {path} cannot be unpacked there ({error.strerror})") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _checked_members(path: Path, file: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    listed = file.infolist()
    if len(listed) > MEMBERS:
        raise ArchiveError(f"{path}: has {len(listed)} members, more than any results ({MEMBERS})")
    files: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    total = 0
    for member in listed:
        name = _checked_name(path, member)
        _check_kind(path, member)
        total += member.file_size
        if member.file_size > MEMBER_BYTES or total > TOTAL_BYTES:
            raise ArchiveError(
                f"{path}: {name} would unpack to {member.file_size} bytes, {total} with those before it, more than any "
                f"results ({MEMBER_BYTES} and {TOTAL_BYTES}); unpack it yourself if you trust it"
            )
        parents = name.split("/")
        folders.update("/".join(parents[:depth]) for depth in range(1, len(parents) + member.is_dir()))
        if member.is_dir():
            continue
        if name in files:
            raise ArchiveError(f"{path}: {name} is in it twice; make the archive again with one of them")
        files[name] = member
    both = next((name for name in files if name in folders), None)
    if both is not None:
        raise ArchiveError(f"{path}: {both} is a file and a folder; make the archive again with one of them")
    return files


def _checked_name(path: Path, member: zipfile.ZipInfo) -> str:
    """The member's name without ``.`` and empty parts."""
    name = member.orig_filename
    reason = None
    if "\\" in name:
        reason = "has a backslash in its name"
    elif name.startswith("/") or re.match(r"[A-Za-z]:", name):
        reason = "has an absolute name"
    elif ".." in name.split("/"):
        reason = "leads out of its folder"
    elif not name.isprintable():
        reason = "has a control character in its name"
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts and not name.endswith("/"):
        reason = "has no name"
    if reason:
        raise ArchiveError(f"{path}: member {name!r} {reason}; make the archive again without it")
    return "/".join(parts)


def _check_kind(path: Path, member: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if kind == stat.S_IFLNK else "no ordinary file"
        raise ArchiveError(f"{path}: member {member.filename!r} is {what}; make the archive again without it")
    if member.flag_bits & 0x1:
        raise ArchiveError(f"{path}: {member.filename} is encrypted; unpack it yourself")


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
