"""Comparisons as one HTML page that needs nothing else: tables, curves and sequences by protocol, offline.

The template writes everything; the script sorts rows and switches between protocols and scores. The page's own security
policy forbids requests and other scripts.
"""

import base64
import hashlib
import json
import re
from collections import abc
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from lib.data.decoding.images import ImageError, read_image
from lib.data.types import Sequence
from lib.evaluation.reports.comparison import CURVES, ComparedTracker, Comparison
from lib.evaluation.reports.figures import curve_figure, reliability_figure
from lib.evaluation.reports.layout import attribute_tables, confidence_tables, score_tables, sequence_tables
from lib.evaluation.reports.tables import Row, Table, best_cells, cell_words, percent
from lib.evaluation.results.result_set import ResultSet
from lib.geometry.overlaps import is_box, overlaps
from lib.runtime.escapes import printable
from lib.runtime.files import write_text
from lib.runtime.json_text import plain
from lib.visualization.boxes import PREDICTED_COLOR, TRUTH_COLOR, outline
from lib.visualization.plots import encode_figure
from lib.visualization.sheet import data_address, encode, resized

WORST, BEST = 4, 2  # sequences shown for a tracker, by its first score
PICTURE_WIDTH, _QUALITY = 320, 75  # of a picture: pixels, and JPEG's

# From results, a sequence and the number of a frame: a picture, uint8 RGB; raises ``ValueError``.
Draw = abc.Callable[[ResultSet, Sequence, int], np.ndarray]


def write_page(comparisons: abc.Sequence[Comparison], file: Path, draw: Draw | None = None) -> None:
    """Write the page, whole or not at all; folders are made. ``OSError`` names the file.

    Pictures come from the images of the sequences and the boxes of the runs; a reason takes the place of a missing one.
    ``draw`` pictures the decisions behind the worst frames.
    """
    environment = Environment(
        loader=PackageLoader("lib.evaluation.reports", "page_template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    filters = (str.splitlines, _parts, _rows, _words, _svg, _digest, _manifest)
    environment.filters |= {each.__name__.strip("_"): each for each in filters}
    style, script = (environment.loader.get_source(environment, name)[0] for name in ("page.css", "page.js"))
    template = environment.get_template("page.html")
    benchmarks = [_benchmark(comparison, draw) for comparison in comparisons]
    write_text(file, template.render(benchmarks=benchmarks, style=style, script=script))


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _parts(name: str) -> list[str]:
    """A name in parts between which a line may break, so that a long one is not broken within a word."""
    return re.split(r"(?<=[/_-])", name)


def _benchmark(comparison: Comparison, draw: Draw | None) -> dict[str, Any]:
    cards = {entry.label: _cards(comparison, entry, draw) for entry in comparison.entries}
    return {
        "comparison": comparison,
        "views": {protocol: _view(comparison, protocol) for protocol in comparison.protocols},
        "cards": {label: kinds for label, kinds in cards.items() if any(kinds.values())},
        "confidence": confidence_tables(comparison)[:1],
        "reliability": reliability_figure(comparison),
        "settings": {entry.label: [run.results for run in entry.runs] for entry in comparison.entries},
    }


def _view(comparison: Comparison, protocol: str) -> dict[str, Any]:
    single = replace(comparison, protocols=(protocol,))
    names = comparison.score_names(protocol)
    [scores] = score_tables([single], counts=True)
    return {
        "scores": replace(scores, rows=tuple(sorted(scores.rows, key=_fall))),
        "curves": [figure for kind in CURVES if (figure := curve_figure(comparison, protocol, kind))],
        "attributes": dict(zip(names, attribute_tables(single, names), strict=True)) if comparison.attributes else {},
        "sequences": dict(zip(names, sequence_tables(single, single.entries, names), strict=True)),
    }


def _fall(row: Row) -> float:
    """The order of rows by their first score, the best first."""
    number = row.cells[0].number
    return 1.0 if number is None else -number


def _rows(table: Table) -> abc.Iterator[tuple[str, list[dict[str, Any]]]]:
    """The labels of a table with the words of their cells; ``exact`` is a number's value, for sorting."""
    best = best_cells(table, 1)
    for number, row in enumerate(table.rows):
        cells = []
        for place, cell in enumerate(row.cells):
            exact = None if cell.number is None else f"{cell.number:.10g}"
            mean, ends = cell_words(cell, 1, table.signed)
            cells.append({"mean": mean, "ends": ends, "exact": exact, "best": (number, place) in best})
        yield row.label, cells


def _words(figure: Figure) -> str:
    [axes] = figure.axes
    words = [axes.get_title(), *(text.get_text() for text in axes.get_legend().get_texts())]
    return "; ".join(words).replace("\n", " ")


def _svg(figure: Figure) -> str:
    return data_address(encode_figure(figure, "svg"), "svg+xml")


def _manifest(results: ResultSet) -> str:
    if results.manifest is None:
        return "no manifest: how these results were made is not known"
    return json.dumps(plain(results.manifest), indent=1, ensure_ascii=False)


def _cards(comparison: Comparison, entry: ComparedTracker, draw: Draw | None) -> dict[str, list[dict[str, Any]]]:
    """The worst and the best sequences of a tracker by the first score of the first protocol, the extreme ones first;
    none twice."""
    protocol = comparison.protocols[0]
    name = "".join(comparison.score_names(protocol)[:1])
    return {
        word.title(): [
            {
                "name": sequence.name,
                "score": f"{name} {percent(value, 1)} ({protocol})",
                "pictures": list(_pictures(entry.runs[0].results, sequence, draw)),
            }
            for value, sequence in chosen
        ]
        for word, chosen in comparison.extremes([entry], WORST, BEST).items()
    }


class _Picture(NamedTuple):
    """A picture as a data address, or the reason why it is ``missing``. A ``wide`` one is too wide for a card."""

    caption: str
    address: str = ""
    missing: str = ""
    wide: bool = False


def _pictures(results: ResultSet, sequence: Sequence, draw: Draw | None) -> abc.Iterator[_Picture]:
    """The first frame, the one after it with the least overlap (the earliest of equals), and with ``draw`` the
    decisions there."""
    yield _framed(sequence, 0, "frame 0, ground truth", (sequence.boxes[0], TRUTH_COLOR))
    try:
        predicted = results.boxes(sequence)
    except ValueError as error:
        yield _Picture("the worst frame", missing=str(error))
        return
    rows = min(len(predicted), len(sequence.boxes))
    truth, predicted = sequence.boxes[:rows], predicted[:rows]
    counted = is_box(truth)
    counted[:1] = False  # given to the tracker
    if sequence.absent is not None:
        counted &= ~np.asarray(sequence.absent[:rows], dtype=bool)
    if not counted.any():
        return
    found = np.where(counted, overlaps(truth, predicted), np.inf)
    frame = int(np.argmin(found))
    answer = "" if is_box(predicted[frame : frame + 1])[0] else ", no box predicted"
    caption = f"frame {frame}, the worst: overlap {found[frame]:.2f}{answer}"
    yield _framed(sequence, frame, caption, (truth[frame], TRUTH_COLOR), (predicted[frame], PREDICTED_COLOR))
    if draw:
        caption = f"{sequence.name}, decisions in frame {frame}"
        try:
            yield _Picture(caption, _jpeg(draw(results, sequence, frame)), wide=True)
        except ValueError as error:
            yield _Picture(caption, missing=str(error), wide=True)


def _framed(sequence: Sequence, frame: int, caption: str, *boxes: tuple[np.ndarray, tuple[int, int, int]]) -> _Picture:
    try:
        image = read_image(sequence.frames[frame])
    except ImageError as error:
        return _Picture(caption, missing=str(error))
    small = resized(image, PICTURE_WIDTH)
    for box, color in boxes:
        outline(small, box * PICTURE_WIDTH / image.shape[1], color, 2)
    return _Picture(caption, _jpeg(small))


def _jpeg(pixels: np.ndarray) -> str:
    return data_address(encode(pixels, "jpeg", quality=_QUALITY), "jpeg")
