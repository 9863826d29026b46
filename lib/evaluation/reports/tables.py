"""Tables of scores as text, Markdown, LaTeX and CSV: fractions go in, percent come out."""

import csv
import io
import math
from collections import abc
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from lib.runtime.escapes import for_csv, for_latex, for_markdown, printable

FORMATS = {"text": "txt", "markdown": "md", "latex": "tex", "csv": "csv"}  # with the suffixes of their files
NONE = "-"


class Cell(NamedTuple):
    """A score as a fraction, None where there is none, with its ``deviation`` over runs and the ends of its confidence
    interval where they are known."""

    value: float | None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None


class Column(NamedTuple):
    """Neighboring columns with the same ``group`` (benchmark and protocol) share a line above their names."""

    group: str
    name: str

    @property
    def whole_name(self) -> str:
        """Group and name, for formats without a line for groups."""
        return ": ".join(filter(None, (self.group, self.name)))


class Row(NamedTuple):
    """A label, and for each column a cell or words that are printed unchanged."""

    label: str
    cells: tuple[Cell | str, ...]


@dataclass(frozen=True)
class Table:
    """``name`` is the file's name. ``title`` and ``warnings`` are printed above the table, ``below`` under it.

    ``corner`` is the head of the labels. LaTeX and Markdown print the best score of each ``best`` (``column`` or
    ``row``) in bold, none if it is empty. ``signed`` prints differences with a plus.
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
    """The table in one of ``FORMATS``, with a final line break; percent with ``digits`` decimals."""
    return {"text": _text, "markdown": _markdown, "latex": _latex, "csv": _csv}[form](table, digits)


def percent(value: float | None, digits: int, signed: bool = False) -> str:
    """A fraction in percent, ``-`` for None, ``nan`` for NaN."""
    if value is None:
        return NONE
    return "nan" if math.isnan(value) else f"{100 * value:{'+' if signed else ''}.{digits}f}"


def _words(cell: Cell | str, digits: int, signed: bool) -> str:
    """``66.1 ± 0.3 [64.2, 68.0]``, without the parts that the cell lacks."""
    if isinstance(cell, str):
        return printable(cell)
    text = percent(cell.value, digits, signed)
    if cell.deviation is not None:
        text += f" ± {percent(cell.deviation, digits)}"
    if cell.low is not None:
        text += f" [{percent(cell.low, digits, signed)}, {percent(cell.high, digits, signed)}]"
    return text


def row_words(table: Table, row: Row, digits: int) -> list[str]:
    """The words of a row's cells, percent with ``digits`` decimals."""
    return [_words(cell, digits, table.signed) for cell in row.cells]


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
    warnings = [f"**Warning: {for_markdown(warning)}**\n" for warning in table.warnings]
    names = [for_markdown(name) for name in (table.corner, *(column.whole_name for column in table.columns))]
    rows = [[for_markdown(label), *words] for label, words in _bold_rows(table, digits, "**{}**")]
    head, *lines = ("| " + " | ".join(words) + " |" for words in (names, *rows))
    below = ["", *(f"- {for_markdown(line.strip())}" for line in table.below)] if table.below else []
    rule = "|:--" + "|--:" * len(table.columns) + "|"
    return "\n".join([*warnings, f"{for_markdown(table.title)}\n", head, rule, *lines, *below]) + "\n"


def _latex(table: Table, digits: int) -> str:
    spans, rules, place = [], [], 2
    for group, columns in groupby(column.group for column in table.columns):
        count = len(list(columns))
        spans.append(rf"\multicolumn{{{count}}}{{c}}{{{for_latex(group)}}}")
        rules.append(rf"\cmidrule(lr){{{place}-{place + count - 1}}}")
        place += count
    groups = ["& " + " & ".join(spans) + r" \\", " ".join(rules)] if any(c.group for c in table.columns) else []
    names = map(for_latex, (table.corner, *(column.name for column in table.columns)))
    rows = [[for_latex(label), *words] for label, words in _bold_rows(table, digits, r"\textbf{{{}}}", _latex_number)]
    warnings = [rf"\multicolumn{{{place - 1}}}{{l}}{{{for_latex(warning)}}} \\" for warning in table.warnings]
    return (
        "\n".join(
            [
                *(f"% {printable(line)}" for line in (*(f"WARNING: {text}" for text in table.warnings), table.title)),
                r"\begin{tabular}{l" + "r" * len(table.columns) + "}",
                r"\toprule",
                *groups,
                " & ".join(names) + r" \\",
                r"\midrule",
                *(" & ".join(words) + r" \\" for words in rows),
                r"\bottomrule",
                *warnings,
                r"\end{tabular}",
                *(f"% {printable(line.strip())}" for line in table.below),
            ]
        )
        + "\n"
    )


def _latex_number(word: str) -> str:
    return "--" if word == NONE else for_latex(word).replace("±", r"$\pm$").replace("-", "$-$")


def _bold_rows(
    table: Table, digits: int, bold: str, changed: abc.Callable[[str], str] = str
) -> abc.Iterator[tuple[str, list[str]]]:
    """Label and words of each row, the best ones in ``bold``."""
    best = best_cells(table, digits)
    for number, row in enumerate(table.rows):
        words = map(changed, row_words(table, row, digits))
        yield row.label, [bold.format(word) if (number, place) in best else word for place, word in enumerate(words)]


def _csv(table: Table, digits: int) -> str:
    """A column for each number; deviations and intervals have columns of their own where any cell has them."""
    names, columns = [for_csv(table.corner)], []
    for place, column in enumerate(table.columns):
        cells = [row.cells[place] for row in table.rows]
        for part in Cell._fields:
            numbers = [cell if isinstance(cell, str) else getattr(cell, part) for cell in cells]
            if part == "value" or any(number is not None and not isinstance(number, str) for number in numbers):
                names.append(for_csv(column.whole_name) + (f" {part}" if part != "value" else ""))
                columns.append([_csv_word(number, digits) for number in numbers])
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([for_csv(f"# WARNING: {warning}")] for warning in table.warnings)
    writer.writerow(names)
    writer.writerows(zip((for_csv(row.label) for row in table.rows), *columns, strict=True))
    return stream.getvalue()


def _csv_word(number: float | str | None, digits: int) -> str:
    if isinstance(number, str):
        return for_csv(number)
    return "" if number is None else percent(number, digits)


def best_cells(table: Table, digits: int) -> set[tuple[int, int]]:
    """The rows and columns of the highest scores as printed, among two at least."""
    lines: dict[int, dict[tuple[int, int], float]] = {}
    for number, row in enumerate(table.rows):
        for place, cell in enumerate(row.cells):
            if table.best and isinstance(cell, Cell) and cell.value is not None and not math.isnan(cell.value):
                line = lines.setdefault(place if table.best == "column" else number, {})
                line[number, place] = round(100 * cell.value, digits)
    return {
        key for line in lines.values() if len(line) > 1 for key, value in line.items() if value == max(line.values())
    }
