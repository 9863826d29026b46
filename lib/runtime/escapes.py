"""Text that is printed or written: escapes for characters that a terminal, LaTeX, Markdown or a spreadsheet would
interpret or cannot show, names of files, and tables for a terminal. No other module escapes text."""

import html
import re
import sys
import unicodedata
from collections import abc
from collections.abc import Iterable
from typing import TextIO

# At the begin of a row of a table, LaTeX reads a star or bracket as an argument of the row before, hence the braces.
_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "[": "{[}", "]": "{]}", "*": "{*}",
} | {character: "\\" + character for character in "&%$#_{}"}  # fmt: skip
_MARKDOWN = re.compile(r"([\\`*_\[\]|~$])")
_FORMULA = tuple("=+-@")


def printable(text: str) -> str:
    """The text as one line. Control characters, line breaks, characters that change the direction of writing and bytes
    that are not UTF-8 (lone surrogates) become Python's escapes: ``\\n``, ``\\x1b``, ``\\udcd0``."""
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode("ascii") if _is_hidden(character) else character for character in text
    )


def printable_lines(lines: Iterable[str]) -> str:
    """The lines, each ``printable``, with line breaks between."""
    return "\n".join(map(printable, lines))


def show(text: str, stream: TextIO | None = None, flush: bool = False) -> None:
    """Print lines of text to ``stream`` (stdout unless given): each ``printable``, with escapes for characters that the
    stream's encoding lacks."""
    stream = sys.stdout if stream is None else stream
    encoding = getattr(stream, "encoding", None) or "utf-8"
    shown = printable_lines(text.split("\n")).encode(encoding, "backslashreplace").decode(encoding)
    print(shown, file=stream, flush=flush)


def columns(head: abc.Sequence[str], rows: abc.Sequence[abc.Sequence[str]]) -> list[str]:
    """The lines of a table: the first column and columns of words are aligned to the left, columns of numbers to the
    right; ``nan`` is a number."""
    words, widths = [], []
    for number, (name, *cells) in enumerate(zip(head, *rows, strict=True)):
        words.append(number == 0 or any(cell[:1].isalpha() and cell != "nan" for cell in cells))
        widths.append(max(map(len, (name, *cells))))
    return [
        "  ".join(
            f"{cell:<{width}}" if word else f"{cell:>{width}}"
            for cell, width, word in zip(row, widths, words, strict=True)
        ).rstrip()
        for row in (head, *rows)
    ]


def for_latex(text: str) -> str:
    """The text for LaTeX, which sets it letter by letter. A comment needs only ``printable``."""
    return "".join(_LATEX.get(character, character) for character in printable(text))


def for_markdown(text: str) -> str:
    """The text without markup or HTML, in a table's cell too."""
    return _MARKDOWN.sub(r"\\\1", html.escape(printable(text), quote=False))


def for_csv(text: str) -> str:
    """The text of a cell; one that a spreadsheet would compute as a formula gets a leading apostrophe."""
    shown = printable(text)
    # Spreadsheets skip blanks, and in some languages accept the wide forms of these signs.
    return f"'{shown}" if unicodedata.normalize("NFKC", shown).lstrip().startswith(_FORMULA) else shown


def file_name(text: str, longest: int = 100) -> str:
    """The beginning of the text, of so many bytes in UTF-8 at most, as a part of a file's name: letters, digits, ``-``,
    ``_`` and dots, with ``_`` in place of others. Two texts may have one name."""
    return re.sub(r"[^\w.-]+", "_", text).encode()[:longest].decode(errors="ignore")


def _is_hidden(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] == "C" or category in ("Zl", "Zp")
