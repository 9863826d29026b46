"""The files of results below a folder or in a zip, by name. Zips are read in memory; nothing is unpacked."""

import logging
import os
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

from lib.evaluation.results.folder import LEGACY_INT, MANIFEST_FILE

logger = logging.getLogger(__name__)

# By the name of each file below a place, "/" between folders, what reads it; ``ValueError`` if it cannot be read.
Files = Mapping[str, Callable[[], bytes]]

_SKIPPED = ("__MACOSX", "checkpoints", "tensorboard", LEGACY_INT)
# Bounds for results: a line of a box takes less than 80 bytes, so a member holds a million frames, and an archive those
# of a dozen trackers on every benchmark.
MEMBER_BYTES = 128 * 2**20
TOTAL_BYTES = 4 * 2**30


def folder_files(path: Path) -> Files:
    """The texts, manifests and zips below a folder. Links to folders are followed, each folder once. Raises
    ``ValueError`` if it cannot be listed; another one below it is logged."""

    def refuse(error: OSError) -> None:
        if error.filename == str(path):
            raise ValueError(f"{path}: cannot be listed ({error.strerror}); correct the path") from error
        logger.warning("%s: cannot be listed (%s); results in it are not found", error.filename, error.strerror)

    files, seen = {}, {os.path.realpath(path)}
    for folder, folders, names in os.walk(path, onerror=refuse, followlinks=True):
        below = {os.path.realpath(os.path.join(folder, name)): name for name in sorted(folders, reverse=True)}
        folders[:] = sorted(name for real, name in below.items() if real not in seen and not is_skipped(name))
        seen |= below.keys()
        for name in sorted(names):
            if not is_skipped(name) and (name == MANIFEST_FILE or name.lower().endswith((".txt", ".zip"))):
                file = Path(folder, name)
                files[file.relative_to(path).as_posix()] = partial(_read, file)
    return files


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror})") from error


def archive_files(path: Path) -> Files:
    """The files of a zip in its order. A name is only a key: it may lead anywhere, since nothing is unpacked.

    Raises ``ValueError`` for a file that is no whole zip, for a name that is there twice, and for members larger than
    any results (``MEMBER_BYTES``, ``TOTAL_BYTES``); reading a file raises it if the file is damaged, encrypted, or
    longer or shorter than announced.
    """
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # zipfile raises errors of many kinds for damage
        raise ValueError(f"{path}: not a whole zip archive ({_one_line(error)}); get or make it again") from error
    files, total = {}, 0
    for member in archive.infolist():
        if member.filename.endswith("/"):
            continue
        # Without "." and empty parts. Not ``filename``, which ends at a zero byte.
        name = str(PurePosixPath(member.orig_filename))
        if name in files:
            raise ValueError(f"{path}: {name} is in it twice; make the archive again with one of them")
        total += member.file_size
        if member.file_size > MEMBER_BYTES or total > TOTAL_BYTES:
            raise ValueError(
                f"{path}: {name} would unpack to {member.file_size} bytes, {total} with those before it, more than any "
                f"results ({MEMBER_BYTES} and {TOTAL_BYTES}); unpack it yourself if you trust it"
            )
        files[name] = partial(_read_member, archive, member, f"{path}: {name}")
    return files


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: str) -> bytes:
    try:
        with archive.open(member) as stream:
            # Never more than is announced: a stream may hold much more, and would be unpacked in one piece.
            content = stream.read(member.file_size + 1)
        if len(content) != member.file_size:
            raise ValueError(f"it has more or less than the {member.file_size} bytes it announces")
    except Exception as error:
        raise ValueError(f"{place} cannot be read ({_one_line(error)}); get or make the archive again") from error
    return content


def _one_line(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__


def is_skipped(part: str) -> bool:
    """Whether a file or folder of this name holds no results."""
    return part.startswith(".") or part in _SKIPPED
