"""The files of a dataset as its reader sees them: texts and listings below a root, and a record of its questions."""

import os
from collections.abc import Iterable
from pathlib import Path

from lib.data.files.texts import decode_text
from lib.data.types import Location

Stamp = tuple[int, int] | None


def join_key(folder: str, name: str) -> str:
    """The key of a file or folder in the folder of a key."""
    return f"{folder}/{name}" if folder else name


class Source:
    """The files below ``root``. A key is the path relative to it with ``/`` between names, ``""`` for the root itself,
    or an absolute path for a file elsewhere.

    ``stamps`` records size and time of change (nanoseconds) of every file or folder that was asked for, None if it was
    not there; an index made from the answers is valid while they stay the same. ``cache`` is a folder for files that a
    reader makes (the frames of a video), or None. Errors are ``ValueError`` in one line that names the path.
    """

    def __init__(self, root: Path, cache: Path | None = None) -> None:
        self.root, self.cache = Path(root), cache
        self.stamps: dict[str, Stamp] = {}

    def location(self, key: str = "") -> Location:
        """The file or folder of a key; the disk is not asked."""
        return self.root / key

    def key_of(self, location: Location) -> str:
        """The key of a file or folder, the inverse of ``location``."""
        path, root = str(location), str(self.root)
        return "" if path == root else path.removeprefix(root.rstrip("/") + "/")

    def text(self, key: str) -> str:
        """The content of a text file, see ``decode_text``. Bytes that are no UTF-8 are replaced, so that the parser
        names the line."""
        self._note(key)
        file = self.location(key)
        try:
            return decode_text(file.read_bytes(), file, "replace")
        except OSError as error:
            raise self._unreadable(key, error) from error

    def names(self, key: str = "") -> list[str]:
        """The names of the files and folders in a folder, sorted as text."""
        self._note(key)
        try:
            return sorted(os.listdir(self.root / key))
        except OSError as error:
            raise self._unreadable(key, error) from error

    def exists(self, key: str) -> bool:
        """Whether there is a file or folder of that name."""
        return self._note(key) is not None

    def is_folder(self, key: str) -> bool:
        """Whether there is a folder of that name."""
        self._note(key)
        return os.path.isdir(self.root / key)  # Path.is_dir raises for a name too long

    def peek(self, key: str) -> Stamp:
        """Size and time of change as they are now, None if there is no such file; not a question that is recorded."""
        try:
            # No Path: an index asks this of 30,000 files before a training starts.
            status = os.stat(os.path.join(self.root, key))
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns

    def changed(self, stamps: Iterable[tuple[str, Stamp]]) -> Location | None:
        """The first file or folder whose stamp is not the one given for its key now; None if all are."""
        return next((self.location(key) for key, stamp in stamps if self.peek(key) != stamp), None)

    def _unreadable(self, key: str, error: OSError) -> ValueError:
        return ValueError(f"{self.root / key}: {error.strerror}; check the dataset's path, or unpack it again")

    def _note(self, key: str) -> Stamp:
        self.stamps[key] = self.peek(key)
        return self.stamps[key]
