"""Names and remedies for files of other kinds that are given as a checkpoint."""

import html
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from lib.runtime.escapes import printable

HEAD = 4096  # bytes at the beginning of a file that show its kind
_TEXT_SHOWN = 80
_UNPACK = "unpack it and name the checkpoint in it"
_KINDS = (
    (0, b"version https://git-lfs", "a Git LFS pointer; run `git lfs pull` in its repository to get the file itself"),
    (257, b"ustar", "a tar archive; unpack it (tar -xf FILE) and name the checkpoint in it"),
    (0, b"\x1f\x8b", f"a gzip archive; {_UNPACK}"),
    (0, b"BZh", f"a bzip2 archive; {_UNPACK}"),
    (0, b"\xfd7zXZ\x00", f"an xz archive; {_UNPACK}"),
    (0, b"\x28\xb5\x2f\xfd", f"a Zstandard archive; {_UNPACK}"),
    (0, b"7z\xbc\xaf\x27\x1c", f"a 7-Zip archive; {_UNPACK}"),
    (0, b"Rar!", f"a RAR archive; {_UNPACK}"),
)
_SUFFIXES = {".pth", ".pt", ".tar", ".ckpt", ".bin", ".safetensors", ".zip"}


def kind_of(head: bytes) -> str | None:
    """The kind of a file by its first ``HEAD`` bytes, and the remedy; None for an unknown kind."""
    for offset, magic, kind in _KINDS:
        if head.startswith(magic, offset):
            return kind
    text = head.decode(errors="replace").lstrip("\ufeff")
    if re.search(r"<html|<!doctype html", text, re.IGNORECASE):
        title = re.search(r"<title[^>]*>(.*?)</title", text, re.IGNORECASE | re.DOTALL)
        named = f" ('{short(html.unescape(title[1]).strip())}')" if title else ""
        return f"a saved web page{named}; open the address in a browser and download the file itself"
    letters = set(text[:-1])  # the last one may be cut
    if text.strip() and "\ufffd" not in letters and all(letter.isprintable() or letter.isspace() for letter in letters):
        return f"a text file that begins '{short(text.strip())}'; name a checkpoint"
    return None


def kind_of_zip(names: Iterable[str]) -> str:
    """The kind of a zip archive that torch did not write, by its names, and the remedy."""
    names = [name for name in names if not name.startswith("__MACOSX/")]
    inside = [name for name in names if PurePosixPath(name).suffix.lower() in _SUFFIXES]
    if inside:
        more = f" and {len(inside) - 1} more" if len(inside) > 1 else ""
        return f"a zip archive around {short(inside[0])}{more}; unzip it and name that file"
    return f"a zip archive, but torch's has a data.pkl and this one has {short(', '.join(names[:3])) or 'nothing'}"


def short(text: str) -> str:
    """The beginning of a text from a file, as one line for a message."""
    text = printable(text)
    return text if len(text) <= _TEXT_SHOWN else f"{text[:_TEXT_SHOWN]}..."
