"""Tables of scores as text, Markdown, LaTeX and CSV: fractions go in, percent come out."""

import csv
import io
import math
from collections import abc
from dataclasses import dataclass
from typing import NamedTuple

from lib.runtime.escapes import columns, for_csv, for_latex, for_markdown, printable

TABLE_FORMATS = {"text": "txt", "markdown": "md", "latex": "tex", "csv": "csv"}  # with the suffixes of their files
NONE = "-"


class Cell(NamedTuple):
    """A score as a fraction, None where there is none: the mean over runs, with their sample ``deviation`` and the ends
    of its confidence interval where they are known. Or words, which are printed unchanged."""

    value: float | str | None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def number(self) -> float | None:
        """The score; None for none, for NaN and for words."""
        return self.value if isinstance(self.value, float) and not math.isnan(self.value) else None


NO_SCORE = Cell(None)


class Row(NamedTuple):
    """A label, and a cell for each column."""

    label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """``name`` is the file's name. ``warnings`` and ``heading`` are printed above the table, ``below`` under it.

    ``scope`` has the benchmarks of the scores, each with its protocol. ``corner`` is the head of the labels,
    ``columns`` are those of the cells. LaTeX and Markdown print the best score of each ``best`` (``column`` or ``row``)
    in bold, none if it is empty. ``signed`` prints differences with a plus.
    """

    name: str
    title: str
    scope: tuple[str, ...]
    corner: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    below: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    best: str = ""
    signed: bool = False

    @property
    def heading(self) -> str:
        """The title with the scope."""
        return ", ".join(filter(None, (self.title, "; ".join(self.scope))))

    @property
    def above(self) -> tuple[str, ...]:
        """The lines above the table."""
        return (*(f"WARNING: {warning}" for warning in self.warnings), self.heading)

    @property
    def head(self) -> tuple[str, ...]:
        """The names of all columns."""
        return (self.corner, *self.columns)


def render_table(table: Table, form: str, digits: int = 1) -> str:
    """The table in one of ``TABLE_FORMATS``, with a final line break; percent with ``digits`` decimals."""
    return {"text": _text, "markdown": _markdown, "latex": _latex, "csv": _csv}[form](table, digits)


def percent(value: float | None, digits: int, signed: bool = False) -> str:
    """A fraction in percent, ``-`` for None, ``nan`` for NaN."""
    if value is None:
        return NONE
    return "nan" if math.isnan(value) else f"{100 * value:{'+' if signed else ''}.{digits}f}"


def cell_words(cell: Cell, digits: int, signed: bool) -> tuple[str, str]:
    """``66.1 ± 0.3`` and ``[64.2, 68.0]``, without the parts that the cell lacks."""
    words = isinstance(cell.value, str)
    text, ends = printable(cell.value) if words else percent(cell.value, digits, signed), ""
    if cell.deviation is not None:
        text += f" ± {percent(cell.deviation, digits)}"
    if cell.low is not None:
        ends = f"[{percent(cell.low, digits, signed)}, {percent(cell.high, digits, signed)}]"
    return text, ends


def _text(table: Table, digits: int) -> str:
    body = columns([printable(name) for name in table.head], _rows(table, digits, printable))
    return "\n".join([*map(printable, table.above), *body, *map(printable, table.below)]) + "\n"


def _markdown(table: Table, digits: int) -> str:
    warnings = [f"**Warning: {for_markdown(warning)}**\n" for warning in table.warnings]
    rows = (map(for_markdown, table.head), *_rows(table, digits, for_markdown, "**{}**"))
    head, *lines = ("| " + " | ".join(words) + " |" for words in rows)
    below = ["", *(f"- {for_markdown(line.strip())}" for line in table.below)] if table.below else []
    rule = "|:--" + "|--:" * len(table.columns) + "|"
    return "\n".join([*warnings, f"{for_markdown(table.heading)}\n", head, rule, *lines, *below]) + "\n"


def _latex(table: Table, digits: int) -> str:
    rows = _rows(table, digits, for_latex, r"\textbf{{{}}}", _latex_number)
    lines = [
        *(f"% {printable(line)}" for line in table.above),
        r"\begin{tabular}{l" + "r" * len(table.columns) + "}",
        r"\toprule",
        " & ".join(map(for_latex, table.head)) + r" \\",
        r"\midrule",
        *(" & ".join(words) + r" \\" for words in rows),
        r"\bottomrule",
        *(rf"\multicolumn{{{len(table.head)}}}{{l}}{{{for_latex(warning)}}} \\" for warning in table.warnings),
        r"\end{tabular}",
        *(f"% {printable(line.strip())}" for line in table.below),
    ]
    return "\n".join(lines) + "\n"


def _latex_number(word: str) -> str:
    return "--" if word == NONE else for_latex(word).replace("±", r"$\pm$").replace("-", "$-$")


def _rows(
    table: Table, digits: int, label: abc.Callable[[str], str], bold: str = "{}", number: abc.Callable[[str], str] = str
) -> list[list[str]]:
    """The words of each row, escaped by ``label`` and ``number``, the best numbers in ``bold``."""
    rows, best = [], best_cells(table, digits)
    for line, row in enumerate(table.rows):
        cells = [number(" ".join(filter(None, cell_words(cell, digits, table.signed)))) for cell in row.cells]
        marked = (bold.format(words) if (line, place) in best else words for place, words in enumerate(cells))
        rows.append([label(row.label), *marked])
    return rows


def _csv(table: Table, digits: int) -> str:
    """A column for each number; deviations and intervals have columns of their own where any cell has them. There is no
    line for the heading: the names of the columns begin with the scope, or with their benchmark where it has several.
    """
    scope = f"{table.scope[0]}: " if len(table.scope) == 1 else ""
    names, numbers = [for_csv(table.corner)], []
    for place, name in enumerate(table.columns):
        for part in Cell._fields:
            found = [getattr(row.cells[place], part) for row in table.rows]
            if part == "value" or any(number is not None for number in found):
                names.append(for_csv(scope + name) + (f" {part}" if part != "value" else ""))
                numbers.append([_csv_word(number, digits) for number in found])
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([for_csv(f"# WARNING: {warning}")] for warning in table.warnings)
    writer.writerow(names)
    writer.writerows(zip((for_csv(row.label) for row in table.rows), *numbers, strict=True))
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
            if table.best and cell.number is not None:
                line = lines.setdefault(place if table.best == "column" else number, {})
                line[number, place] = round(100 * cell.number, digits)
    return {
        key for line in lines.values() if len(line) > 1 for key, value in line.items() if value == max(line.values())
    }
