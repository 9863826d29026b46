"""Texts of numbers that people and tools write: one rule from bytes to lines and from lines to numbers."""

import codecs
import re
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import numpy as np

Parsed = TypeVar("Parsed")

_SHOWN = 60  # letters of a wrong line in a message: a file that is no text may be one long line
_BETWEEN = re.compile(r"\s*,\s*|\s+")
# So many numbers with equally many decimals have a fixed format: two rows of boxes but for the last number. Fewer may
# be equal by chance in a file whose only row ends in a round number.
_FIXED = 7


def decode_text(data: bytes, source: object, errors: str = "strict") -> str:
    """The text of a file that ``source`` names: UTF-8 with or without a byte order mark; each line ends in ``\\n``.

    Raises ``ValueError`` for UTF-16, for zero bytes and for bytes that are no UTF-8; with ``errors`` "replace" the
    latter are replaced.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(f"{source}: is no text in UTF-8 but in UTF-16; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        reason = f"{error.reason} at byte {error.start}"
        raise ValueError(f"{source}: is no text in UTF-8 ({reason}); save it as UTF-8") from error
    if "\0" in text:  # a crash of the machine leaves them in files
        raise ValueError(f"{source}: holds zero bytes, so it is damaged or no text in UTF-8; get or save it again")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def text_lines(text: str) -> list[str]:
    """The lines of a text without the empty ones at its end."""
    return text.rstrip().split("\n") if text.strip() else []


def parse_numbers(line: str) -> list[float]:
    """The numbers of a line, with a comma, blanks or tabs between them; a comma may end it. NaN and infinity are
    numbers.

    Raises ``ValueError`` for anything else: an empty line or field (``1,,2``), Python's ``1_000``, digits of other
    scripts.
    """
    if not line.strip() or "_" in line or not line.isascii():
        raise ValueError("nothing, or other signs than those of numbers")
    try:
        return [float(word) for word in line.split("," if "," in line else None)]
    except ValueError:  # a comma at the end, or commas and blanks in one line
        return [float(word) for word in _BETWEEN.split(line.strip().removesuffix(",").rstrip())]


def parse_number(text: str) -> float:
    """The single number of a text; ``ValueError`` for anything else."""
    (number,) = parse_numbers(text)
    return number


def parse_lines(text: str, parse: Callable[[str], Parsed], wanted: str, source: object, remedy: str) -> list[Parsed]:
    """The value of ``parse`` for each line.

    For the first line that it refuses (``ValueError``), raises a ``ValueError`` naming source, line, ``wanted`` and
    ``remedy``.
    """
    values = []
    for number, line in enumerate(text_lines(text), start=1):
        try:
            values.append(parse(line))
        except ValueError as error:
            raise _line_error(source, number, line, f"not {wanted}", remedy) from error
    return values


def parse_rows(text: str, columns: int | None, source: object, remedy: str, ended: bool = False) -> np.ndarray:
    """float64 ``[N, columns]`` of the lines of a text; without ``columns`` as many as the first line has.

    Raises ``ValueError`` as ``parse_lines`` and ``refuse_cut`` do.
    """
    lines = text_lines(text)
    if columns is None:
        with suppress(ValueError, IndexError):
            columns = len(parse_numbers(lines[0]))
    columns = columns or 1
    wanted = "a number" if columns == 1 else f"{columns} numbers"

    def parse(line: str) -> list[float]:
        row = parse_numbers(line)
        if len(row) != columns:
            raise ValueError("too few or too many numbers")
        return row

    rows = _read_table(text)
    if rows is None or rows.shape[1] != columns:
        rows = parse_lines(text, parse, wanted, source, remedy)
    refuse_cut(text, source, remedy, ended)
    return np.array(rows, dtype=np.float64).reshape(-1, columns)


def parse_values(text: str, source: object, remedy: str) -> np.ndarray:
    """float64 ``[N]``: all numbers of a text, any number of them on a line; raises as ``parse_lines``."""
    table = _read_table(text)
    if table is not None:
        return table.ravel()
    rows = parse_lines(text, parse_numbers, "numbers", source, remedy)
    return np.array([number for row in rows for number in row], dtype=np.float64)


def _read_table(text: str) -> np.ndarray | None:
    """The rows of a text whose lines have the same separator and equally many numbers, several times as fast as line by
    line; None for any other text."""
    lines = text_lines(text)
    if lines and text.isascii():
        with suppress(ValueError):
            table = np.loadtxt(lines, delimiter="," if "," in lines[0] else None, comments=None, ndmin=2)
            return table if len(table) == len(lines) else None
    return None


def is_cut(text: str, ended: bool = False) -> bool:
    """Whether the last line of a text of numbers was visibly cut short. It has no line end, and one of these holds:

    * ``ended``: its writer ends every line, or the caller knows that lines are missing;
    * it has fewer words than the line before;
    * its last number ends in its point, or is the beginning of the one above (1 below 18, not 18 below 18.5);
    * its last number has fewer decimals than all numbers before, which have equally many.
    """
    lines = text_lines(text)
    if not lines or "\n" in text[len(text.rstrip()) :]:
        return False
    words = [line.replace(",", " ").split() for line in lines]
    if ended or len(words[-1]) < len(words[-2:][0]):
        return True
    *before, (whole, point, decimals) = (word.partition(".") for row in words for word in row)
    above = words[-2:][0][-1].partition(".")[0]
    if (point and not decimals) or (whole and whole != above and above.startswith(whole)):
        return True
    places = {len(word[2]) for word in before}
    return len(before) >= _FIXED and len(places) == 1 and len(decimals) < places.pop()


def refuse_cut(text: str, source: object, remedy: str, ended: bool = False) -> None:
    """Raises ``ValueError`` for a text whose last line was cut short (``is_cut``)."""
    if is_cut(text, ended):
        lines = text_lines(text)
        raise _line_error(source, len(lines), lines[-1], "cut short", remedy)


def _line_error(source: object, number: int, line: str, wrong: str, remedy: str) -> ValueError:
    return ValueError(f"{source}: line {number} is {line.strip()[:_SHOWN]!r}, {wrong}; {remedy}")
