"""Zip archives of strangers, read in memory: every member is checked before one is read, and nothing is unpacked."""

import lzma
import re
import stat
import struct
import zipfile
import zlib
from contextlib import closing
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
    """The files of a zip whose members are harmless.

    Raises ``ArchiveError`` for a file that is no whole zip, and for a member that has an absolute name, ``..`` or a
    backslash in it, that is a link or a device, encrypted, there twice, or larger than any result (``MEMBER_BYTES``,
    ``TOTAL_BYTES``, ``MEMBERS``).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = zipfile.ZipFile(path)
        except _DAMAGE as error:
            raise ArchiveError(f"{path}: not a whole zip archive ({_one_line(error)}); get or make it again") from error
        try:
            self._members = _checked_members(path, self._file.infolist())
        except ArchiveError:
            self.close()
            raise

    def close(self) -> None:
        """Nothing can be read afterwards."""
        self._file.close()

    def names(self) -> tuple[str, ...]:
        """The files' names, ``/`` between folders, in the archive's order; folders have none."""
        return tuple(self._members)

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

    def read_all(self) -> dict[str, bytes]:
        """The content of every file by its name; ``ArchiveError`` as ``read``, and for more than ``READ_BYTES``."""
        total = sum(member.file_size for member in self._members.values())
        if total > READ_BYTES:
            raise ArchiveError(f"{self.path}: unpacks to {total} bytes, more than any results ({READ_BYTES})")
        return {name: self.read(name) for name in self._members}


def read_members(path: Path) -> dict[str, bytes]:
    """The content of every file of a zip by its name; ``ArchiveError`` as in ``Archive``."""
    with closing(Archive(path)) as archive:
        return archive.read_all()


def _checked_members(path: Path, listed: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    if len(listed) > MEMBERS:
        raise ArchiveError(f"{path}: has {len(listed)} members, more than any results ({MEMBERS})")
    files: dict[str, zipfile.ZipInfo] = {}
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
        if name in files:
            raise ArchiveError(f"{path}: {name} is in it twice; make the archive again with one of them")
        if not member.is_dir():
            files[name] = member
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
