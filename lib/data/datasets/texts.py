"""Texts that people and their tools write, by one rule wherever they are read: bytes to lines, lines to numbers."""

from __future__ import annotations

import codecs
import re

import numpy as np

# So much of a wrong line is shown: a file that is no text may be one long line.
_SHOWN = 60
_BETWEEN = re.compile(r"\s*,\s*|\s+")
# So many numbers that have equally many decimals are of a fixed format: a row of boxes and all but the last number of
# another. With fewer, chance would refuse files whose only row ends in a round number.
_FIXED = 7


def decode_text(data: bytes, source: object, errors: str = "strict") -> str:
    """The text of a file that ``source`` names: UTF-8 with or without a byte order mark; each line ends in ``\\n``.

    Raises ``ValueError`` for UTF-16 and for bytes that are no UTF-8; with ``errors`` "replace" the latter are replaced.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(f"{source}: is no text in UTF-8 but in UTF-16; save it as UTF-8")
    try:
        text = data.decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        reason = f"{error.reason} at byte {error.start}"
        raise ValueError(f"{source}: is no text in UTF-8 ({reason}); save it as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def text_lines(text: str) -> list[str]:
    """The lines of a text without the empty ones at its end."""
    return text.rstrip().split("\n") if text.strip() else []


def parse_numbers(line: str) -> list[float]:
    """The numbers of a line, with a comma, blanks or tabs between; a comma may end it. NaN and infinity are numbers.

    Raises ``ValueError`` for anything else: an empty line or field (``1,,2``), Python's ``1_000``, digits of other
    scripts.
    """
    if not line.strip() or "_" in line or not line.isascii():
        raise ValueError("nothing, or other signs than those of numbers")
    try:
        return [float(word) for word in line.split("," if "," in line else None)]
    except ValueError:  # a comma at the end, or commas and blanks between the numbers of one line
        return [float(word) for word in _BETWEEN.split(line.strip().removesuffix(",").rstrip())]


def parse_number(text: str) -> float:
    """The one number of a text, by the rule of ``parse_numbers``; ``ValueError`` for anything else."""
    (number,) = parse_numbers(text)
    return number


def parse_rows(text: str, columns: int | None, source: object, remedy: str, ended: bool = False) -> np.ndarray:
    """float64 ``[N, columns]`` of the lines of a text that ``source`` names; ``columns`` None takes as many as the
    first line has. Empty lines at the end are nothing.

    Raises ``ValueError`` naming source, line and ``remedy`` for the first line that is anything else (see
    ``parse_numbers``), and for a last line that was cut short (see ``is_cut``, also for ``ended``).
    """
    lines = text_lines(text)
    table = _read_at_once(lines) if lines and text.isascii() else None
    if table is None or table.shape != (len(lines), columns or table.shape[1]):
        table = _read_by_line(lines, columns, source, remedy)
    if is_cut(text, ended):
        raise line_error(source, len(lines), lines[-1], "cut short", remedy)
    return table


def _read_at_once(lines: list[str]) -> np.ndarray | None:
    """The numbers of lines that have the same sign between all, several times as fast; None if there are others."""
    try:
        return np.loadtxt(lines, delimiter="," if "," in lines[0] else None, comments=None, ndmin=2)
    except ValueError:
        return None


def _read_by_line(lines: list[str], columns: int | None, source: object, remedy: str) -> np.ndarray:
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = parse_numbers(line)
        except ValueError:
            row = []
        columns = columns or len(row) or 1
        if len(row) != columns:
            wanted = "a number" if columns == 1 else f"{columns} numbers"
            raise line_error(source, number, line, f"not {wanted}", remedy)
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(-1, columns or 1)


def parse_values(text: str, source: object, remedy: str) -> np.ndarray:
    """float64 ``[N]``: all numbers of a text, any number of them on a line.

    Raises ``ValueError`` naming source, line and ``remedy`` for the first line that is anything else.
    """
    values: list[float] = []
    for number, line in enumerate(text_lines(text), start=1):
        try:
            values += parse_numbers(line)
        except ValueError as error:
            raise line_error(source, number, line, "not numbers", remedy) from error
    return np.array(values, dtype=np.float64)


def is_cut(text: str, ended: bool = False) -> bool:
    """Whether the last line of a text of numbers was visibly cut: it has no line end, and

    * its writer ends every line, or there are fewer lines than there must be, as the caller knows (``ended``);
    * or it has fewer words than the line before;
    * or its last number ends in its point, or is the beginning of the one above (1 below 18, not 18 below 18.5);
    * or its last number has fewer decimals than all numbers before, which are equal in that.
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


def line_error(source: object, number: int, line: str, wrong: str, remedy: str) -> ValueError:
    """What to raise for line ``number``, counted from 1, of a text that ``source`` names."""
    return ValueError(f"{source}: line {number} is {line.strip()[:_SHOWN]!r}, {wrong}; {remedy}")
