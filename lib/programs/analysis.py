"""Comparing the results of trackers on benchmarks: what `tracking/analysis_results.py` does."""

from __future__ import annotations

import json
from collections.abc import Container
from collections.abc import Sequence as Many
from dataclasses import dataclass, replace
from pathlib import Path

from lib.config.paths import Paths, user_path
from lib.data.types import Sequence
from lib.evaluation.benchmarks import find_benchmark, read_benchmark
from lib.evaluation.metrics.attributes import Attributes, known_attributes, read_attributes
from lib.evaluation.metrics.bootstrap import Bootstrap, with_intervals
from lib.evaluation.metrics.confidence import with_confidence
from lib.evaluation.reports.comparison import Comparison, choose_protocols, compare
from lib.evaluation.reports.figures import write_figures
from lib.evaluation.reports.films import write_films
from lib.evaluation.reports.layout import (
    attribute_tables,
    confidence_tables,
    difference_tables,
    score_tables,
    sequence_tables,
)
from lib.evaluation.reports.page import Draw, write_page
from lib.evaluation.reports.plain import plain_comparison
from lib.evaluation.reports.remarks import remarks
from lib.evaluation.reports.tables import FORMATS, Table, render
from lib.evaluation.results.raw_results import ResultSet, find_result_sets, open_result_set
from lib.runtime.escapes import printable_lines
from lib.runtime.files import write_text

JSON = "json"
PLACE = "{dataset}"  # in a path, stands for the benchmark's name


class RequestError(ValueError):
    """What was asked for cannot be: an unknown name, or options that do not go together."""


@dataclass(frozen=True)
class Request:
    """What to compare and what to make of it.

    ``trackers`` are ``WHAT`` or ``LABEL=WHAT``: a folder or zip of results (``{dataset}`` in it stands for the
    benchmark), or what our output folder is searched for. What stands under one label is one tracker, whose runs are
    reported as mean and deviation; without a label each result set is a tracker of its own.

    ``protocols`` and ``scores`` are the benchmarks' own and all unless given. ``attribute_files`` are ``FILE`` or
    ``DATASET=FILE``. ``pair`` are two labels whose sequences are listed by difference. The report is returned in
    ``form``; ``out`` is a folder that gets every table in every format, ``page`` an HTML file.
    With ``confidence`` the trackers' own scores are read too. With ``pictures`` the page shows the decisions of our
    networks behind the worst frames.
    """

    datasets: tuple[str, ...]
    trackers: tuple[str, ...]
    protocols: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    form: str = "text"
    digits: int = 1
    out: Path | None = None
    plots: bool = False
    video: bool = False
    page: Path | None = None
    pictures: bool = False
    per_attribute: bool = False
    attribute_files: tuple[str, ...] = ()
    pair: tuple[str, str] | None = None
    bootstrap: Bootstrap | None = None
    confidence: bool = False


def analyse(paths: Paths, request: Request) -> tuple[str, bool]:
    """The report, and whether every tracker has every result and every protocol could score it.

    Raises ``RequestError`` for what cannot be asked for, other ``ValueError`` and ``OSError`` for what cannot be read
    or written.
    """
    files = _attribute_files(request)
    _check(request)
    comparisons, missing = [], []
    for benchmark in dict.fromkeys(request.datasets):
        comparison, lines = _compare(paths, benchmark, request, files.get(benchmark))
        missing += lines
        if comparison is not None:
            comparisons.append(comparison)
    if not comparisons:
        raise ValueError(printable_lines(missing))
    _check_names(comparisons, request)
    if request.bootstrap:
        comparisons = [with_intervals(comparison, request.bootstrap) for comparison in comparisons]
    if request.confidence:
        comparisons = [with_confidence(comparison) for comparison in comparisons]
    complete = not missing and all(comparison.is_complete() for comparison in comparisons)
    report = _report(comparisons, missing, request)
    if request.out:
        _write(comparisons, missing, request)
    if request.page:
        write_page(comparisons, request.page, _drawer(paths) if request.pictures else None)
    return report, complete


def _check(request: Request) -> None:
    """Refuse at once what needs no data to be refused."""
    try:
        for benchmark in request.datasets:
            choose_protocols(benchmark, request.protocols, ())
    except ValueError as error:
        raise RequestError(str(error)) from error
    for option, wanted, what in (("--plots", request.plots, "pictures"), ("--video", request.video, "videos")):
        if wanted and request.out is None:
            raise RequestError(f"{option}: name the folder for the {what} with --out FOLDER")
    if request.pictures and request.page is None:
        raise RequestError("--pictures: they are part of the page; name it with --html FILE")


def _drawer(paths: Paths) -> Draw:
    from lib.programs.visualizing import ResultDrawer  # it imports torch, which the analysis does not need

    return ResultDrawer(paths)


def _attribute_files(request: Request) -> dict[str, Path]:
    """The user's files by benchmark."""
    files: dict[str, Path] = {}
    for word in request.attribute_files:
        benchmark, equals, file = word.partition("=")
        if user_path(word).exists() or not equals:
            if len(set(request.datasets)) > 1:
                raise RequestError(f"--attributes {word}: say of which dataset it is: --attributes DATASET={word}")
            benchmark, file = request.datasets[0], word
        if benchmark not in request.datasets:
            raise RequestError(
                f"--attributes {word}: {benchmark} is none of the datasets {', '.join(request.datasets)}"
            )
        files[benchmark] = user_path(file)
    return files


def _check_names(comparisons: Many[Comparison], request: Request) -> None:
    """Labels and scores can be told only when the results are read."""
    known = dict.fromkeys(
        name for each in comparisons for protocol in each.protocols for name in each.score_names(protocol)
    )
    for name in request.scores:
        if known and name not in known:
            raise RequestError(f"--scores: no score {name!r} by these protocols; there are {', '.join(known)}")
    labels = {entry.label for comparison in comparisons for entry in comparison.entries}
    for label in request.pair or ():
        if label not in labels:
            raise RequestError(f"--per-sequence: no tracker {label!r}; there are {', '.join(sorted(labels))}")
    if request.per_attribute and not any(comparison.attributes for comparison in comparisons):
        names = ", ".join(comparison.benchmark for comparison in comparisons)
        raise RequestError(f"--per-attribute: no attributes are known of {names}; bring a file with --attributes")


def _compare(
    paths: Paths, benchmark: str, request: Request, attributes: Path | None
) -> tuple[Comparison | None, list[str]]:
    """A benchmark's comparison, None without any results, and what is missing, a line each."""
    root = paths.dataset_root(find_benchmark(benchmark).dataset)
    sequences = tuple(read_benchmark(benchmark, root, paths.cache))
    names = {sequence.name for sequence in sequences}
    groups, missing = _find_groups(paths.output, benchmark, request.trackers, names)
    if not groups:
        return None, missing
    protocols = choose_protocols(benchmark, request.protocols, sequences)
    known = _attributes(benchmark, sequences, attributes)
    return compare(benchmark, sequences, groups, protocols, known, missing), missing


def _attributes(benchmark: str, sequences: Many[Sequence], file: Path | None) -> Attributes:
    names = [sequence.name for sequence in sequences]
    return read_attributes(file, benchmark, names) if file else known_attributes(benchmark, names)


def _find_groups(
    output: Path, benchmark: str, trackers: Many[str], names: Container[str]
) -> tuple[list[tuple[str, list[ResultSet]]], list[str]]:
    """Trackers with their result sets on a benchmark, by label, and a line for each that has none.

    Those without a label are looked for together, so that theirs are distinct, and stand where the first of them does.
    """
    words = [_label_and_place(word.replace(PLACE, benchmark)) for word in trackers]
    unnamed, missing = _find_together(output, benchmark, [place for label, place in words if not label], names)
    taken = {result.label for result in unnamed} & {label for label, _ in words}
    if taken:
        name = sorted(taken)[0]
        raise RequestError(f"--tracker: two trackers are called {name}; give one of them another label: LABEL={name}")
    groups: dict[str, dict[tuple[Path, int], ResultSet]] = {}
    for label, place in words:
        found, unnamed = (unnamed, []) if not label else ([], unnamed)
        if label:
            try:
                found = _find_labelled(output, benchmark, place, names)
            except ValueError as error:
                missing.append(f"{benchmark}: no results of {label}: {error}")
        for result in found:
            runs = groups.setdefault(label or result.label, {})
            runs |= {(each.source, each.repetition): each for each in result.repetitions()}
    return [(label, list(runs.values())) for label, runs in groups.items()], missing


def _find_labelled(output: Path, benchmark: str, place: str, names: Container[str]) -> list[ResultSet]:
    """Of a path one result set, so that others below it do not become its runs; of a name all that bear it."""
    if user_path(place).exists():
        return [open_result_set(user_path(place), benchmark)]
    return _find(output, benchmark, [place], names)


def _find_together(
    output: Path, benchmark: str, places: Many[str], names: Container[str]
) -> tuple[list[ResultSet], list[str]]:
    """The result sets that are there, with distinct labels, and a line for each place without any."""
    there, missing = [], []
    for place in places:
        try:
            _find(output, benchmark, [place], names)
        except ValueError as error:
            missing.append(f"{benchmark}: no results of {place}: {error}")
        else:
            there.append(place)
    return _find(output, benchmark, there, names) if there else [], missing


def _find(output: Path, benchmark: str, places: Many[str], names: Container[str]) -> list[ResultSet]:
    """Result sets with any sequence of the benchmark: where the package has no list of its ``names``, any text of boxes
    might be of it."""
    found = find_result_sets(output, benchmark, places)
    own = [result for result in found if any(name in names for name in result.names())]
    if not own:
        raise ValueError(f"{', '.join(places)}: holds results of other sequences than those of {benchmark}")
    return own


def _label_and_place(word: str) -> tuple[str, str]:
    """An empty label where none is given; a path with ``=`` in it that exists is a path."""
    label, equals, what = word.partition("=")
    return (label, what) if equals and not user_path(word).exists() else ("", word)


def _report(comparisons: Many[Comparison], missing: Many[str], request: Request) -> str:
    """What is printed: warnings stand once, above all, and remarks once, below the scores."""
    if request.form == JSON:
        return _json(comparisons, missing, request)
    tables = score_tables(comparisons, request.scores, request.bootstrap)
    below = [line for comparison in comparisons for line in remarks(comparison, comparison.protocols)]
    warnings = dict.fromkeys(warning for comparison in comparisons for warning in comparison.warnings)
    shown = [replace(table, below=(), warnings=()) for table in (*tables, *_other_tables(comparisons, request))]
    shown[len(tables) - 1] = replace(shown[len(tables) - 1], below=tuple(below))
    shown += [replace(table, warnings=()) for table in _confidence_tables(comparisons)]
    shown[0] = replace(shown[0], warnings=tuple(warnings))
    return "\n".join(render(table, request.form, request.digits) for table in shown).rstrip("\n")


def _other_tables(comparisons: Many[Comparison], request: Request) -> list[Table]:
    tables: list[Table] = []
    if request.bootstrap and len({entry.label for each in comparisons for entry in each.entries}) > 1:
        against = request.pair[1] if request.pair else None
        tables += difference_tables(comparisons, request.bootstrap, request.scores, against)
    for comparison in comparisons:
        if request.per_attribute and comparison.attributes:
            tables += attribute_tables(comparison, request.scores)
        if request.pair and {entry.label for entry in comparison.entries} >= set(request.pair):
            tables += sequence_tables(comparison, request.pair, request.scores)
    return tables


def _confidence_tables(comparisons: Many[Comparison]) -> list[Table]:
    return [table for comparison in comparisons for table in confidence_tables(comparison)]


def _json(comparisons: Many[Comparison], missing: Many[str], request: Request) -> str:
    bootstrap = request.bootstrap
    content = {
        "format": 2,
        "unit": "fractions",
        "bootstrap": bootstrap and bootstrap._asdict(),
        "missing": list(missing),
        "benchmarks": [plain_comparison(comparison) for comparison in comparisons],
    }
    return json.dumps(content, indent=1, allow_nan=False)


def _write(comparisons: Many[Comparison], missing: Many[str], request: Request) -> None:
    """Every table in every format, ``analysis.json``, the pictures and the videos."""
    tables = score_tables(comparisons, request.scores, request.bootstrap)
    for table in (*tables, *_other_tables(comparisons, request), *_confidence_tables(comparisons)):
        for form, ending in FORMATS.items():
            write_text(request.out / f"{table.name}.{ending}", render(table, form, request.digits))
    write_text(request.out / "analysis.json", _json(comparisons, missing, request) + "\n")
    if request.plots:
        for comparison in comparisons:
            write_figures(comparison, request.out, request.per_attribute)
    if request.video:
        for comparison in comparisons:
            write_films(comparison, request.out)
