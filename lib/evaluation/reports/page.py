"""Comparisons as one HTML page that needs nothing else: tables, curves and sequences by protocol, offline.

Python writes everything; the script sorts rows and switches between protocols and scores. The page's own security
policy forbids requests and other scripts.
"""

import base64
import hashlib
import json
import math
import re
from collections import abc
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from string import Template

import numpy as np

from lib.data.types import Sequence
from lib.evaluation.reports.comparison import CURVES, Comparison, ScoredRun
from lib.evaluation.reports.drawings import curve_figure
from lib.evaluation.reports.figures import curve_lines, reliability_lines, score_of
from lib.evaluation.reports.layout import attribute_tables, confidence_tables, score_tables, sequence_tables
from lib.evaluation.reports.markup import Markup, join, make
from lib.evaluation.reports.pictures import Picture, first_picture, jpeg_address, worst_picture
from lib.evaluation.reports.plain import plain
from lib.evaluation.reports.tables import Cell, Row, Table, best_cells, percent, row_words
from lib.runtime.files import write_text
from lib.visualization.plots import KINDS

TITLE = "Trackers compared"
WORST, BEST = 4, 2  # sequences shown for a tracker, by protocol
PICTURED = 8  # sequences with pictures for a tracker, over all protocols: they are most of the page's bytes


# From a benchmark, a run, a sequence and the number of a frame: a picture, uint8 RGB; raises ``ValueError``.
Draw = abc.Callable[[str, ScoredRun, Sequence, int], np.ndarray]


def write_page(comparisons: abc.Sequence[Comparison], file: Path, draw: Draw | None = None) -> None:
    """Write the page, whole or not at all; folders are made. ``OSError`` names the file.

    Pictures come from the images of the sequences and the boxes of the runs; a reason takes the place of a missing one.
    ``draw`` pictures the decisions behind the worst frames.
    """
    template, style, script = (_template(name) for name in ("page.html", "page.css", "page.js"))
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'"
    content = [
        make("p", {"class": "warning", "role": "note"}, warning)
        for comparison in comparisons
        for warning in comparison.warnings
    ]
    if len(comparisons) > 1:
        links = (make("a", {"href": f"#benchmark-{n}"}, each.title) for n, each in enumerate(comparisons))
        content.append(make("nav", {}, *links))
    content += [_benchmark(comparison, number, draw) for number, comparison in enumerate(comparisons)]
    words = {"title": TITLE, "policy": policy, "style": style, "script": script, "content": join(*content)}
    write_text(file, Template(template).substitute(words))


def _template(name: str) -> str:
    return (files("lib.evaluation.reports") / "page_template" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _benchmark(comparison: Comparison, number: int, draw: Draw | None) -> Markup:
    count = f"{len(comparison.sequences)} sequences"
    bar = [make("h2", {}, comparison.title), _select("protocol", number, comparison.protocols)]
    cards = _Cards(comparison, number, draw)
    views = [_view(comparison, protocol, number, cards) for protocol in comparison.protocols]
    store = make("svg", {"class": "store", "aria-hidden": "true"}, *cards.symbols)
    return make(
        "section",
        {"class": "benchmark", "id": f"benchmark-{number}", "aria-label": comparison.title},
        make("div", {"class": "bar"}, *bar, make("span", {"class": "faint"}, count)),
        *views,
        *cards.decisions(),
        *_confidence(comparison),
        *_settings(comparison),
        store,
    )


def _select(what: str, number: int | str, names: abc.Sequence[str]) -> Markup:
    """A list of names; only elements with the chosen ``data-<what>`` are visible."""
    options = (make("option", {}, name) for name in names)
    label = {"protocol": "protocol ", "score": "score by sequence "}[what]
    return make("label", {}, label, make("select", {"id": f"{what}-{number}", "data-switches": what}, *options))


def _view(comparison: Comparison, protocol: str, number: int, cards: "_Cards") -> Markup:
    """Everything by one protocol."""
    single = replace(comparison, protocols=(protocol,))
    names = comparison.score_names(protocol)
    [scores] = score_tables([single], counts=True)
    parts = [make("h3", {}, "Scores"), _table(_falling(scores), "scores", 1), _remarks(scores)]
    figures = []
    for kind in CURVES:
        lines = curve_lines(comparison, protocol, kind)
        if any(line.shares is not None for line in lines):
            name, axis = KINDS[kind]
            score = score_of(comparison, protocol, kind)
            caption = f"{name}, share of frames; [{score}] in percent by protocol {protocol}"
            figures.append(curve_figure(lines, axis, caption))
    if figures:
        parts += [make("h3", {}, "Curves"), make("div", {"class": "curves"}, *figures)]
    if len(names) > 1:
        parts.append(make("div", {"class": "bar"}, _select("score", f"{number}-{protocol}", names)))
    labels = [entry.label for entry in comparison.entries]
    if comparison.attributes:
        parts += _by_score("Attributes", attribute_tables(single, names), names, "attributes")
    parts += _by_score("Sequences", sequence_tables(single, labels, names), names, "sequences", len(labels) > 1)
    parts += cards.of(protocol)
    hidden = None if protocol == comparison.protocols[0] else ""
    return make("div", {"data-protocol": protocol, "hidden": hidden}, *parts)


def _by_score(
    title: str, tables: abc.Sequence[Table], names: abc.Sequence[str], kind: str, falling: bool = False
) -> list[Markup]:
    """A table for each score; the first is visible."""
    if not names:
        return []
    place = len(tables[0].columns) if falling else None
    shown = [
        make("div", {"data-score": name, "hidden": None if name == names[0] else ""}, _table(table, kind, place))
        for name, table in zip(names, tables, strict=True)
    ]
    return [make("h3", {}, title), *shown]


def _falling(table: Table) -> Table:
    """The rows by their first score, the best first."""
    values = [row.cells[0].value if isinstance(row.cells[0], Cell) else None for row in table.rows]
    known = [-1.0 if value is None or math.isnan(value) else value for value in values]
    order = sorted(range(len(known)), key=lambda number: -known[number])
    return replace(table, rows=tuple(table.rows[number] for number in order))


def _table(table: Table, kind: str, falling: int | None = None) -> Markup:
    """A table with heads that are buttons for sorting. ``falling`` is the column that sorts its rows already."""
    groups = dict.fromkeys(column.group for column in table.columns)
    caption = ", ".join((table.title, *groups))
    heads = []
    for place, name in enumerate((table.corner, *(column.name for column in table.columns))):
        sort = "descending" if place == falling else None
        words = {"scope": "col", "class": "number" if place else None, "aria-sort": sort}
        heads.append(make("th", words, make("button", {"type": "button"}, *_breakable(name))))
    best = best_cells(table, 1)
    rows = [_row(table, number, row, best) for number, row in enumerate(table.rows)]
    whole = make(
        "table",
        {"class": kind},
        make("caption", {}, make("span", {}, caption)),
        make("thead", {}, make("tr", {}, *heads)),
        make("tbody", {}, *rows),
    )
    return make("div", {"class": "scroll", "tabindex": "0", "role": "region", "aria-label": caption}, whole)


def _row(table: Table, number: int, row: Row, best: abc.Set[tuple[int, int]]) -> Markup:
    """The title of a number's cell is its exact value, for sorting."""
    cells = [make("th", {"scope": "row"}, *_breakable(row.label))]
    for place, (cell, words) in enumerate(zip(row.cells, row_words(table, row, 1), strict=True)):
        value = cell.value if isinstance(cell, Cell) else None
        title = None if value is None or math.isnan(value) else f"{value:.10g}"
        kind = "number best" if (number, place) in best else "number"
        mean, bracket, ends = words.partition(" [")
        interval = make("small", {}, f"[{ends}") if bracket else None
        cells.append(make("td", {"class": kind, "title": title}, mean, interval))
    return make("tr", {}, *cells)


def _breakable(name: str) -> list[Markup | str]:
    """A name with places for line breaks, so that a long one is not broken within a word."""
    first, *rest = re.split(r"(?<=[/_-])", name)
    return [first, *(part for word in rest for part in (make("wbr", {}), word))]


def _remarks(table: Table) -> Markup:
    return make("ul", {"class": "remarks faint"}, *(make("li", {}, line) for line in table.below))


def _confidence(comparison: Comparison) -> list[Markup]:
    tables = confidence_tables(comparison)[:1]
    parts = [part for table in tables for part in (_table(table, "confidence"), _remarks(table))]
    lines = reliability_lines(comparison)
    if any(line.shares is not None for line in lines):
        caption = "reliability: share of frames on the target by their score; [AUROC] in percent"
        figure = curve_figure(lines, "mean score of a bin of frames", caption, diagonal=True)
        parts.append(make("div", {"class": "curves"}, figure))
    return [make("h3", {}, "Confidence"), *parts] if parts else []


def _settings(comparison: Comparison) -> list[Markup]:
    """The manifest of each run."""
    parts = []
    for entry in comparison.entries:
        runs = []
        for run in entry.runs:
            source = make("p", {}, "results ", make("code", {}, str(run.results.source)), f" ({run.results.producer})")
            text = "no manifest: how these results were made is not known"
            if run.results.manifest is not None:
                text = json.dumps(plain(run.results.manifest), indent=1, ensure_ascii=False)
            lines = Markup("\n".join(join(line) for line in text.split("\n")))
            runs += [source, make("pre", {"tabindex": "0"}, lines)]
        parts.append(make("details", {}, make("summary", {}, entry.label), *runs))
    return [make("h3", {}, "Settings"), *parts]


class _Cards:
    """The worst and the best sequences of each tracker with pictures, which the protocols share as SVG ``symbols``."""

    def __init__(self, comparison: Comparison, number: int, draw: Draw | None) -> None:
        self._comparison, self._number, self._draw = comparison, number, draw
        self._decided: list[Markup] = []
        self.symbols: list[Markup] = []
        self._extremes = {name: _extremes(comparison, name) for name in comparison.protocols}
        self._first: dict[str, Markup] = {}
        self._worst = [self._pictures(place) for place in range(len(comparison.entries))]

    def of(self, protocol: str) -> list[Markup]:
        """The part of the page for one protocol; empty where it scored nothing."""
        parts = []
        for place, entry in enumerate(self._comparison.entries):
            for word, found in zip(("Worst", "Best"), self._extremes[protocol][place], strict=True):
                if found:
                    cards = (self._card(place, name, value, protocol) for name, value in found.items())
                    parts += [make("h4", {}, f"{word} of {entry.label}"), make("div", {"class": "cards"}, *cards)]
        legend = [make("span", {"class": "swatch"}), " ground truth ", make("span", {"class": "swatch dashed"})]
        legend = make("p", {"class": "faint"}, *legend, " predicted")
        return [make("h3", {}, "Worst and best sequences"), legend, *parts] if parts else []

    def _card(self, place: int, name: str, value: float, protocol: str) -> Markup:
        score = self._comparison.score_names(protocol)[0]
        title = make("p", {}, make("strong", {}, name), f" {score} {percent(value, 1)} ({protocol})")
        none = make("div", {"class": "none"}, "no picture kept")
        figures = [self._first[name], self._worst[place][name]] if name in self._worst[place] else [none]
        return make("div", {"class": "card"}, title, *figures)

    def _pictures(self, place: int) -> dict[str, Markup | None]:
        """The worst frame of a tracker's extreme sequences, those of the first protocol first."""
        run = self._comparison.entries[place].runs[0]
        wanted = dict.fromkeys(name for found in self._extremes.values() for part in found[place] for name in part)
        sequences = {sequence.name: sequence for sequence in self._comparison.sequences}
        found = {}
        for name in list(wanted)[:PICTURED]:
            if name not in self._first:
                self._first[name] = self._figure(first_picture(sequences[name]))
            picture = worst_picture(run, sequences[name], self._comparison.benchmark)
            found[name] = picture and self._figure(picture)
            if self._draw and picture and not picture.missing:
                self._decided.append(self._decision(place, run, sequences[name], picture))
        return found

    def decisions(self) -> list[Markup]:
        """The part of the page with the decisions behind the worst frames; empty if they were not asked for."""
        return (
            [make("h3", {}, "Decisions"), make("div", {"class": "decisions"}, *self._decided)] if self._decided else []
        )

    def _decision(self, place: int, run: ScoredRun, sequence: Sequence, picture: Picture) -> Markup:
        caption = f"{self._comparison.entries[place].label}, {sequence.name}, {picture.caption}"
        try:
            image = self._draw(self._comparison.benchmark, run, sequence, picture.frame)
        except ValueError as error:
            return make("p", {"class": "none"}, f"{caption}: no picture of decisions: {error}")
        shown = make("img", {"src": jpeg_address(image), "alt": caption})
        return make("figure", {}, shown, make("figcaption", {}, caption))

    def _figure(self, picture: Picture) -> Markup:
        if picture.missing:
            return make("div", {"class": "none"}, f"no picture: {picture.missing}")
        name = f"picture-{self._number}-{len(self.symbols)}"
        size = "0 0 {} {}".format(*picture.size)
        self.symbols.append(make("symbol", {"id": name, "viewBox": size}, picture.content))
        drawn = make("svg", {"viewBox": size, "role": "img", "aria-label": picture.caption},
                     make("use", {"href": f"#{name}"}))  # fmt: skip
        return make("figure", {}, drawn, make("figcaption", {}, picture.caption))


def _extremes(comparison: Comparison, protocol: str) -> list[tuple[dict[str, float], dict[str, float]]]:
    """For each tracker the worst and the best sequences with their first score, the extreme ones first; none twice."""
    found = []
    for entry in comparison.entries:
        known = []
        for number, sequence in enumerate(comparison.sequences):
            mean = next((score.mean for score in entry.sequence_values(protocol, number).values()), math.nan)
            known += [(mean, sequence.name)] if math.isfinite(mean) else []
        ranked = {name: value for value, name in sorted(known)}
        worst = dict(list(ranked.items())[:WORST])
        best = {name: ranked[name] for name in list(ranked)[: -BEST - 1 : -1] if name not in worst}
        found.append((worst, best))
    return found
