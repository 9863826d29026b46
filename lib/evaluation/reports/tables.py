"""Tables of scores as text, Markdown, LaTeX and CSV: fractions go in, percent come out."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from lib.runtime.escapes import for_csv, for_latex, for_markdown, printable

FORMATS = {"text": "txt", "markdown": "md", "latex": "tex", "csv": "csv"}  # with the endings of their files
NONE = "-"
PLAIN_DIGITS = 3


class Cell(NamedTuple):
    """A score in fractions: None where there is none; ``deviation`` over runs and the ends of a confidence interval
    where they are known."""

    value: float | None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None


class Column(NamedTuple):
    """``group`` stands above columns side by side that share it: the benchmark and its protocol. The cells of a
    ``plain`` column are no fractions and are printed as they are, with ``PLAIN_DIGITS`` decimals."""

    group: str
    name: str
    plain: bool = False

    @property
    def whole_name(self) -> str:
        """For formats without a line for groups."""
        return ": ".join(filter(None, (self.group, self.name)))


class Row(NamedTuple):
    """A label and for each column a cell, or words that are printed as they are."""

    label: str
    cells: tuple[Cell | str, ...]


@dataclass(frozen=True)
class Table:
    """``name`` is for a file, ``title`` stands above with the ``warnings``, ``below`` what else must be known.

    ``corner`` is what the labels are. ``best`` is ``column`` or ``row``: where the best score is looked for, which
    LaTeX and Markdown set in bold; empty for nowhere. ``signed`` gives differences a plus.
    """

    name: str
    title: str
    corner: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    below: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    best: str = ""
    signed: bool = False


def render(table: Table, form: str, digits: int = 1) -> str:
    """The table in one of ``FORMATS``, with a line's end; percent with ``digits`` decimals."""
    return {"text": _text, "markdown": _markdown, "latex": _latex, "csv": _csv}[form](table, digits)


def percent(value: float | None, digits: int, signed: bool = False) -> str:
    """A fraction in percent, ``-`` for None, ``nan`` for what is no number."""
    if value is None:
        return NONE
    return "nan" if math.isnan(value) else f"{100 * value:{'+' if signed else ''}.{digits}f}"


def _words(cell: Cell | str, digits: int, signed: bool, plain: bool = False) -> str:
    """``66.1 ± 0.3 [64.2, 68.0]``, of which a cell has what it knows."""
    if isinstance(cell, str):
        return printable(cell)
    if plain:
        return NONE if cell.value is None else f"{cell.value:.{PLAIN_DIGITS}f}"
    text = percent(cell.value, digits, signed)
    if cell.deviation is not None:
        text += f" ± {percent(cell.deviation, digits)}"
    if cell.low is not None:
        text += f" [{percent(cell.low, digits, signed)}, {percent(cell.high, digits, signed)}]"
    return text


def row_words(table: Table, row: Row, digits: int) -> list[str]:
    """The words of a row's cells, percent with ``digits`` decimals."""
    cells = zip(table.columns, row.cells, strict=True)
    return [_words(cell, digits, table.signed, column.plain) for column, cell in cells]


def _text(table: Table, digits: int) -> str:
    names = [printable(name) for name in (table.corner, *(column.name for column in table.columns))]
    body = [[printable(row.label), *row_words(table, row, digits)] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(names, *body, strict=True)]
    groups = [(group, len(list(same))) for group, same in groupby(printable(column.group) for column in table.columns)]
    above, place = [" " * widths[0]], 1
    for group, count in groups:
        span = slice(place, place + count)
        missing = max(len(group) - (sum(widths[span]) + 2 * (count - 1)), 0)
        for number in range(count):
            widths[place + number] += missing * (number + 1) // count - missing * number // count
        above.append(group.ljust(sum(widths[span]) + 2 * (count - 1)))
        place += count
    lines = [printable(line) for line in (*(f"WARNING: {warning}" for warning in table.warnings), table.title)]
    if any(group for group, _ in groups):
        lines.append("  ".join(above).rstrip())
    for first, *rest in (names, *body):
        cells = (word.rjust(width) for word, width in zip(rest, widths[1:], strict=True))
        lines.append("  ".join((first.ljust(widths[0]), *cells)).rstrip())
    return "\n".join([*lines, *map(printable, table.below)]) + "\n"


def _markdown(table: Table, digits: int) -> str:
    bold = best_cells(table, digits)
    names = (for_markdown(column.whole_name) for column in table.columns)
    lines = [_markdown_row([for_markdown(table.corner), *names]), "|:--" + "|--:" * len(table.columns) + "|"]
    for number, row in enumerate(table.rows):
        words = row_words(table, row, digits)
        words = [f"**{word}**" if (number, place) in bold else word for place, word in enumerate(words)]
        lines.append(_markdown_row([for_markdown(row.label), *words]))
    warnings = (f"**Warning: {for_markdown(warning)}**\n" for warning in table.warnings)
    above = [*warnings, f"{for_markdown(table.title)}\n"]
    below = ["", *(f"- {for_markdown(line.strip())}" for line in table.below)] if table.below else []
    return "\n".join([*above, *lines, *below]) + "\n"


def _markdown_row(words: Sequence[str]) -> str:
    return "| " + " | ".join(words) + " |"


def _latex(table: Table, digits: int) -> str:
    bold = best_cells(table, digits)
    lines = [f"% {printable(line)}" for line in (*(f"WARNING: {text}" for text in table.warnings), table.title)]
    lines += [r"\begin{tabular}{l" + "r" * len(table.columns) + "}", r"\toprule"]
    spans, rules, place = [], [], 2
    for group, columns in groupby(column.group for column in table.columns):
        count = len(list(columns))
        spans.append(rf"\multicolumn{{{count}}}{{c}}{{{for_latex(group)}}}")
        rules.append(rf"\cmidrule(lr){{{place}-{place + count - 1}}}")
        place += count
    lines += [" & ".join(["", *spans]).lstrip() + r" \\", " ".join(rules)]
    lines += [" & ".join(map(for_latex, [table.corner, *(column.name for column in table.columns)])) + r" \\"]
    lines.append(r"\midrule")
    for number, row in enumerate(table.rows):
        words = [_latex_number(word) for word in row_words(table, row, digits)]
        words = [rf"\textbf{{{word}}}" if (number, place) in bold else word for place, word in enumerate(words)]
        lines.append(" & ".join([for_latex(row.label), *words]) + r" \\")
    lines.append(r"\bottomrule")
    width = 1 + len(table.columns)
    lines += [rf"\multicolumn{{{width}}}{{l}}{{{for_latex(warning)}}} \\" for warning in table.warnings]
    return "\n".join([*lines, r"\end{tabular}", *(f"% {printable(line.strip())}" for line in table.below)]) + "\n"


def _latex_number(word: str) -> str:
    if word == NONE:
        return "--"
    return for_latex(word).replace("±", r"$\pm$").replace("-", "$-$")


def _csv(table: Table, digits: int) -> str:
    """A column for each number; deviations and intervals have columns of their own where any cell has them."""
    parts = [
        [
            part
            for part in Cell._fields
            if part == "value" or any(getattr(cell, part, None) is not None for cell in cells)
        ]
        for cells in zip(*(row.cells for row in table.rows), strict=True)
    ] or [["value"]] * len(table.columns)
    names = [for_csv(table.corner)]
    for column, kept in zip(table.columns, parts, strict=True):
        name = for_csv(column.whole_name)
        names += [name if part == "value" else f"{name} {part}" for part in kept]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([for_csv(f"# WARNING: {warning}")] for warning in table.warnings)
    writer.writerow(names)
    for row in table.rows:
        numbers = (
            (getattr(cell, part, cell), column.plain)
            for column, cell, kept in zip(table.columns, row.cells, parts, strict=True)
            for part in kept
        )
        words = ("" if number is None else _number(number, digits, plain) for number, plain in numbers)
        writer.writerow([for_csv(row.label), *words])
    return stream.getvalue()


def _number(value: float | str, digits: int, plain: bool) -> str:
    return for_csv(value) if isinstance(value, str) else _words(Cell(value), digits, False, plain)


def best_cells(table: Table, digits: int) -> set[tuple[int, int]]:
    """The rows and columns of the highest scores as printed, of two at least."""
    known = {
        (number, place): round(100 * cell.value, digits)
        for number, row in enumerate(table.rows)
        for place, cell in enumerate(row.cells)
        if isinstance(cell, Cell) and cell.value is not None and not math.isnan(cell.value)
    }
    if not table.best:
        return set()
    axis = 1 if table.best == "column" else 0
    best = set()
    for line in {key[axis] for key in known}:
        rivals = {key: value for key, value in known.items() if key[axis] == line}
        if len(rivals) > 1:
            best |= {key for key, value in rivals.items() if value == max(rivals.values())}
    return best
