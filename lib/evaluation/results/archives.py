"""Zip archives of results, read in memory; nothing is unpacked."""

import lzma
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

# Bounds for results: a line of a box takes less than 80 bytes, so a member holds a million frames, and an archive those
# of a dozen trackers on every benchmark.
MEMBER_BYTES = 128 * 2**20
TOTAL_BYTES = 4 * 2**30

_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, NotImplementedError, RuntimeError,
    ValueError, OverflowError,
)  # fmt: skip


class ArchiveError(ValueError):
    """An archive that cannot be read; one line with the archive, the member and the fault."""


class Archive:
    """The files of a zip by name. A name is only a key: it may lead anywhere, since nothing is unpacked.

    Raises ``ArchiveError`` for a file that is no whole zip, for a name that is there twice, and for members larger than
    any results (``MEMBER_BYTES``, ``TOTAL_BYTES``).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = zipfile.ZipFile(path)
        except _DAMAGE as error:
            raise ArchiveError(f"{path}: not a whole zip archive ({_one_line(error)}); get or make it again") from error
        self._members: dict[str, zipfile.ZipInfo] = {}
        total = 0
        for member in self._file.infolist():
            if member.filename.endswith("/"):
                continue
            # Without "." and empty parts. Not ``filename``, which ends at a zero byte.
            name = str(PurePosixPath(member.orig_filename))
            if name in self._members:
                raise ArchiveError(f"{path}: {name} is in it twice; make the archive again with one of them")
            total += member.file_size
            if member.file_size > MEMBER_BYTES or total > TOTAL_BYTES:
                raise ArchiveError(
                    f"{path}: {name} would unpack to {member.file_size} bytes, {total} with those before it, more than "
                    f"any results ({MEMBER_BYTES} and {TOTAL_BYTES}); unpack it yourself if you trust it"
                )
            self._members[name] = member

    def names(self) -> tuple[str, ...]:
        """The files' names, ``/`` between folders, in the archive's order; folders have none."""
        return tuple(self._members)

    def read(self, name: str) -> bytes:
        """The content of a file; ``ArchiveError`` if it is damaged, encrypted, or longer or shorter than announced."""
        member = self._members[name]
        try:
            with self._file.open(member) as stream:
                # Never more than is announced: a stream may hold much more, and would be unpacked in one piece.
                content = stream.read(member.file_size + 1)
        except _DAMAGE as error:
            raise ArchiveError(
                f"{self.path}: {name} cannot be read ({_one_line(error)}); get or make the archive again"
            ) from error
        if len(content) != member.file_size:
            raise ArchiveError(
                f"{self.path}: {name} has more or less than the {member.file_size} bytes it announces; get or make the "
                "archive again"
            )
        return content


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
