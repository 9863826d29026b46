"""Zip archives of results, read in memory; nothing is unpacked."""

import zipfile
from functools import partial
from pathlib import Path, PurePosixPath

from lib.evaluation.results.result_files import Files

# Bounds for results: a line of a box takes less than 80 bytes, so a member holds a million frames, and an archive those
# of a dozen trackers on every benchmark.
MEMBER_BYTES = 128 * 2**20
TOTAL_BYTES = 4 * 2**30


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
        files[name] = partial(_read, archive, member, f"{path}: {name}")
    return files


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: str) -> bytes:
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
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
