"""A dataset packed into an LMDB, read in place of its folder: the source that stands for the folder, and its files."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

from lib.data.datasets.texts import decode_text
from lib.data.stores.packed_store import (
    DATA,
    FOLDER,
    find_kind,
    find_names,
    naming_damage,
    open_store,
    open_store_anew,
)
from lib.data.stores.source import Location, Source, Stamp

logger = logging.getLogger(__name__)


class PackedFile:
    """A file or folder of a packed dataset: a ``lib.data.stores.source.Location``, as a ``Path`` is for files on the
    disk."""

    __slots__ = ("root", "key")

    def __init__(self, root: Path, key: str = "") -> None:
        self.root, self.key = root, key

    def __truediv__(self, name: str) -> PackedFile:
        return PackedFile(self.root, f"{self.key}/{name}" if self.key else name)

    @property
    def name(self) -> str:
        """The last part of the path; of the root the name of the folder that was packed."""
        if self.key:
            return self.key.rpartition("/")[2]
        manifest = open_store(self.root).manifest
        return self.root.name if manifest is None else Path(manifest.root).name

    def read_bytes(self) -> bytes:
        """The file's bytes; ``OSError`` as for a file on the disk, also for a store that is gone or damaged."""
        try:
            with naming_damage(self.root):
                data = open_store(self.root).get(self.key)
        except ValueError as error:
            raise OSError(errno.EIO, str(error), str(self)) from error
        if data is None:
            raise FileNotFoundError(errno.ENOENT, "not in the packed dataset", str(self))
        return data

    def __str__(self) -> str:
        return f"{self.root}:{self.key}"

    def __repr__(self) -> str:
        return f"PackedFile({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PackedFile) and (self.root, self.key) == (other.root, other.key)

    def __hash__(self) -> int:
        return hash((self.root, self.key))


class PackedSource(Source):
    """The files of a packed dataset; gives the answers that the folder gave when it was packed.

    All keys bear the stamp of the LMDB, so ``stamps`` holds just that one. Raises ``ValueError`` for a store that is
    not complete, cut short or of another format. Of an LMDB that another program packed nothing tells whether it is
    whole; its listings are what its keys tell.
    """

    def __init__(self, root: Path, cache: Path | None = None) -> None:
        super().__init__(Path(os.path.realpath(root)), cache)
        manifest = open_store_anew(self.root).manifest
        if manifest is None:
            self._names, self._kinds, self._held = {}, {}, ""
            logger.info("%s: an LMDB that another program packed; nothing tells whether it is whole", self.root)
        else:
            self._names, self._kinds = manifest.names, manifest.kinds
            splits = ", ".join(manifest.splits)
            self._held = f", which holds {manifest.dataset} {splits}"
            logger.info("%s: %s %s, packed: %d files", self.root, manifest.dataset, splits, manifest.files)

    def location(self, key: str = "") -> Location:
        """What stands for a file or folder; a ``Path`` for what lies outside of the dataset."""
        return Path(key) if key.startswith("/") else PackedFile(self.root, key)

    def key_of(self, location: Location) -> str:
        """The key of a file or folder; ``location`` of it is the file or folder again."""
        return location.key if isinstance(location, PackedFile) else str(location)

    def text(self, key: str) -> str:
        """The content of a text file, as the folder's ``text`` gave it."""
        self._note(key)
        with naming_damage(self.root):
            data = open_store(self.root).get(key)
        if data is None:
            raise self._not_packed(key)
        return decode_text(data, self.location(key), "replace")

    def names(self, key: str = "") -> list[str]:
        """The names of the files and folders in a folder, sorted as text."""
        self._note(key)
        if self._kind(key) != FOLDER:
            raise self._not_packed(key)
        if key in self._names:
            return list(self._names[key])
        with naming_damage(self.root):
            return find_names(open_store(self.root).transaction, key)

    def exists(self, key: str) -> bool:
        """Whether there is a file or folder of that name."""
        self._note(key)
        return self._kind(key) is not None

    def is_folder(self, key: str) -> bool:
        """Whether there is a folder of that name."""
        self._note(key)
        return self._kind(key) == FOLDER

    def stamp(self, key: str) -> Stamp:
        """Size and time of change of the LMDB as they are now, whatever the key; None if it is gone."""
        return super().stamp(DATA)

    def _note(self, key: str) -> Stamp:
        if not self.stamps:
            self.stamps[""] = self.stamp("")
        return self.stamps[""]

    def _kind(self, key: str) -> str | None:
        if key in self._kinds:
            return self._kinds[key]
        if key in self._names:
            return FOLDER
        with naming_damage(self.root):
            return find_kind(open_store(self.root).transaction, key)

    def _not_packed(self, key: str) -> ValueError:
        return ValueError(
            f"{self.location(key)}: not in the packed dataset{self._held}; pack what is needed, or use the folder"
        )
