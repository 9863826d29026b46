"""Comparisons as one HTML page that stands alone: tables, curves and sequences by protocol, in any browser, offline.

The page is ``page_template/`` with style, script and data put in; its own security policy forbids it any request and
any other script. What is in the data: ``_benchmark``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import cv2
import numpy as np

from lib.data.decoding.images import ImageError, open_image
from lib.data.types import Sequence as Video
from lib.evaluation.metrics.bootstrap import LEVEL
from lib.evaluation.metrics.overlaps import overlaps
from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.metrics.scoring import annotation_of
from lib.evaluation.reports.comparison import CURVES, Comparison, Entry, Run, Spread, spread
from lib.evaluation.reports.plain import plain_comparison
from lib.runtime.escapes import printable
from lib.runtime.files import write_text

TITLE = "Trackers compared"
WORST, BEST = 4, 2  # sequences that are listed for a tracker, by the protocol that is looked at
PICTURED = 8  # sequences with pictures for a tracker, over all protocols: they are most of the page's bytes
WIDTH, QUALITY = 320, 75  # of a picture: pixels, and JPEG's
DECIMALS = 10  # of fractions: what is printed must not be rounded twice


def write_page(comparisons: Sequence[Comparison], file: Path) -> None:
    """Write the page, whole or not at all; folders are made. ``OSError`` names the file.

    Pictures are made of the images that the sequences name and of the boxes that the runs read; what is missing is said
    in the picture's place.
    """
    template, style, script = (_template(name) for name in ("page.html", "page.css", "page.js"))
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'"
    data = [_benchmark(comparison) for comparison in comparisons]
    page = Template(template).substitute(
        title=TITLE, policy=policy, style=style, script=script, data=_as_script_text(data)
    )
    write_text(file, page)


def _template(name: str) -> str:
    return (files("lib.evaluation.reports") / "page_template" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _as_script_text(data: Any) -> str:
    """JSON that no HTML parser sees an end or a comment in, whatever names are in it; they are ``printable``."""
    text = json.dumps(_printable(data), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _printable(value: Any) -> Any:
    if isinstance(value, dict):
        return {printable(key): _printable(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_printable(part) for part in value]
    return printable(value) if isinstance(value, str) else value


def _benchmark(comparison: Comparison) -> dict[str, Any]:
    """What the page knows of a benchmark, in plain types.

    Scores are fractions, null for what is no number. Lists by tracker are in the order of ``trackers``, lists by
    sequence in that of ``sequences``, lists by attribute in that of ``attributes``.
    """
    views = {protocol: _view(comparison, protocol) for protocol in comparison.protocols}
    return {
        "benchmark": comparison.benchmark,
        "title": comparison.title,
        "warnings": list(comparison.warnings),
        "protocols": list(comparison.protocols),
        "level": LEVEL,
        "sequences": [sequence.name for sequence in comparison.sequences],
        "attributes": [
            {"name": short, "words": comparison.attribute_names.get(short, short), "count": len(names)}
            for short, names in comparison.attributes.items()
        ],
        "trackers": [{"label": entry.label, "runs": [_run(run) for run in entry.runs]} for entry in comparison.entries],
        "by_protocol": views,
        "confidence": plain_comparison(comparison)["confidence"],
        "pictures": _pictures(comparison, views),
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "source": run.source,
        "producer": run.producer,
        "seconds": _number(run.seconds),
        "manifest": _plain(run.manifest),
    }


def _view(comparison: Comparison, protocol: str) -> dict[str, Any]:
    """The numbers of one protocol; ``headline`` is the score that ranks sequences, null where there is none."""
    entries = comparison.entries
    by_sequence = [_sequence_values(entry, protocol) for entry in entries]
    names = list(dict.fromkeys(name for rows in by_sequence for row in rows for name in row))
    headline = names[0] if names else None
    parts = [[_part(entry, protocol, having) for having in comparison.attributes.values()] for entry in entries]
    return {
        "names": names,
        "headline": headline,
        "scores": [_scores(entry, protocol) for entry in entries],
        "curves": _curves(entries, protocol),
        "sequences": {name: [[_mean(row, name) for row in rows] for rows in by_sequence] for name in names},
        "attributes": {name: [[_mean(row, name) for row in rows] for rows in parts] for name in names},
        "extremes": [_extremes(comparison.sequences, rows, headline) for rows in by_sequence],
        "errors": [_lines(entry, [run.scores.errors(protocol) for run in entry.runs]) for entry in entries],
        "notes": [
            _lines(entry, [{n: ", ".join(w) for n, w in run.scores.notes(protocol).items()} for run in entry.runs])
            for entry in entries
        ],
    }


def _scores(entry: Entry, protocol: str) -> dict[str, dict[str, float | None]]:
    intervals = entry.intervals.get(protocol, {})
    found = {}
    for name, (mean, deviation) in entry.values(protocol).items():
        low, high = intervals.get(name, (None, None))
        found[name] = {"mean": mean, "deviation": deviation, "low": low, "high": high}
        found[name] = {key: _number(value) for key, value in found[name].items()}
    return found


def _curves(entries: Sequence[Entry], protocol: str) -> dict[str, dict[str, Any]]:
    """By kind: ``thresholds``, the name of the ``score`` that is read off, and a line for each tracker or null."""
    found = {}
    for kind, thresholds in zip(CURVES, PROTOCOLS[protocol].thresholds, strict=True):
        lines = [entry.curve(protocol, kind) for entry in entries]
        if all(line is None for line in lines):
            continue
        known = next(entry.values(protocol) for entry, line in zip(entries, lines, strict=True) if line is not None)
        found[kind] = {
            "thresholds": [_number(value) for value in thresholds],
            "score": next(name for name in CURVES[kind] if name in known),
            "lines": [None if line is None else [_number(value) for value in line] for line in lines],
        }
    return found


def _sequence_values(entry: Entry, protocol: str) -> list[dict[str, Spread]]:
    """Each sequence's scores; empty where the protocol gives none to one of the runs."""
    return [
        spread([scores.values(protocol) for scores in runs])
        for runs in zip(*(run.scores.sequences for run in entry.runs), strict=True)
    ]


def _part(entry: Entry, protocol: str, names: frozenset[str]) -> dict[str, Spread]:
    """The scores of the set of these sequences."""
    joined = [run.scores.part(protocol, names) for run in entry.runs]
    return spread([{} if curves is None else PROTOCOLS[protocol].values(curves) for curves in joined])


def _extremes(sequences: Sequence[Video], rows: list[dict[str, Spread]], headline: str | None) -> dict[str, list[str]]:
    """Names of the ``worst`` and ``best`` sequences, the extreme ones first; none is both."""
    known = [(_mean(row, headline), sequence.name) for row, sequence in zip(rows, sequences, strict=True)]
    ranked = [name for _, name in sorted((value, name) for value, name in known if value is not None)]
    worst = ranked[:WORST]
    return {"worst": worst, "best": [name for name in ranked[: -BEST - 1 : -1] if name not in worst]}


def _lines(entry: Entry, runs: list[Mapping[str, str]]) -> dict[str, str]:
    """What is said of each sequence; of several runs, which one."""
    if len(entry.runs) == 1:
        return dict(runs[0])
    found: dict[str, list[str]] = {}
    for run, said in zip(entry.runs, runs, strict=True):
        for name, text in said.items():
            found.setdefault(name, []).append(f"{run.scores.label}: {text}")
    return {name: "; ".join(texts) for name, texts in found.items()}


def _pictures(comparison: Comparison, views: Mapping[str, Any]) -> dict[str, Any]:
    """``first`` frames by sequence with the annotated box, and for each tracker by sequence its ``worst`` frame with
    the predicted box too: of the sequences that a view lists, those of the first protocol first."""
    videos = {sequence.name: sequence for sequence in comparison.sequences}
    first: dict[str, Any] = {}
    worst: list[dict[str, Any]] = []
    for number, entry in enumerate(comparison.entries):
        listed = [view["extremes"][number] for view in views.values()]
        wanted = dict.fromkeys(name for part in listed for name in (*part["worst"], *part["best"]))
        run = next((run for run in entry.runs if run.boxes is not None), None)
        worst.append({})
        for name in list(wanted)[:PICTURED] if run else ():
            video = videos[name]
            if name not in first:
                first[name] = _picture(video, 0, {"truth": video.boxes[0]})
            worst[-1][name] = _worst_picture(run, video, comparison.benchmark)
    return {"first": first, "worst": worst}


def _worst_picture(run: Run, video: Video, benchmark: str) -> dict[str, Any] | None:
    """The frame after the first where the prediction overlaps least, the earliest of equals; None where no frame after
    the first has an annotated target."""
    try:
        predicted = run.boxes(annotation_of(video, benchmark))
    except ValueError as error:
        return {"missing": str(error)}
    rows = min(len(predicted), len(video.boxes))
    found = overlaps(video.boxes[:rows], predicted[:rows])
    if video.absent is not None:
        found[np.asarray(video.absent[:rows], dtype=bool)] = np.inf
    found[:1] = np.inf  # given to the tracker
    if not np.isfinite(found).any():
        return None
    frame = int(np.argmin(found))
    picture = _picture(video, frame, {"truth": video.boxes[frame], "predicted": predicted[frame]})
    return picture | {"overlap": _number(found[frame])}


def _picture(video: Video, frame: int, boxes: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """A frame made small, as a data URI; its ``size`` and ``boxes`` are in pixels of the whole image, what is no box is
    null. Frames are counted from 1, as in file names. An image that cannot be read is ``missing``, and why."""
    place = {"frame": frame + 1, "frames": len(video)}
    try:
        image = open_image(video.frames[frame])
        height, width = image.shape
        shrink = next((factor for factor in (8, 4, 2) if width >= factor * WIDTH), 1)
        pixels = image.pixels(shrink=shrink)
    except ImageError as error:
        return place | {"missing": str(error)}
    scale = WIDTH / width
    if scale < 1:
        pixels = cv2.resize(pixels, (WIDTH, max(1, round(height * scale))), interpolation=cv2.INTER_AREA)
    encoded, code = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert encoded, "an image of uint8 RGB is a JPEG"
    jpeg = f"data:image/jpeg;base64,{base64.b64encode(code.tobytes()).decode()}"
    return place | {"size": [width, height], "jpeg": jpeg} | {kind: _box(box) for kind, box in boxes.items()}


def _box(box: np.ndarray) -> list[float] | None:
    present = bool(np.isfinite(box).all() and (box[2:] > 0).all())
    return [round(float(value), 2) for value in box] if present else None


def _mean(row: Mapping[str, Spread], name: str | None) -> float | None:
    return _number(row[name].mean) if name in row else None


def _number(value: float | None) -> float | None:
    """Rounded; None for what is no finite number, which JSON has not."""
    return round(float(value), DECIMALS) if value is not None and math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """A manifest as JSON has it; what it has not (NaN, a type of its own) in words."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value) or not isinstance(value, (str, int, float, type(None))):
        return str(value)
    return value
