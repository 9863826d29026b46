"""Comparing the results of trackers on benchmarks: the body of `tracking/analysis_results.py`."""

import json
from collections import abc
from dataclasses import replace
from pathlib import Path

from lib.config.paths import Paths, user_path
from lib.evaluation.metrics.attributes import known_attributes, read_attributes
from lib.evaluation.reports.bootstrap import Bootstrap, with_intervals
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
from lib.evaluation.reports.page import write_page
from lib.evaluation.reports.plain import plain_comparison
from lib.evaluation.reports.remarks import remarks
from lib.evaluation.reports.tables import TABLE_FORMATS, Table, render_table
from lib.evaluation.results.lookup import find_result_sets, open_result_set
from lib.evaluation.results.result_set import ResultSet
from lib.programs.testing import read_chosen
from lib.runtime.escapes import printable_lines
from lib.runtime.files import write_text
from lib.runtime.program import RequestError, TextResult

JSON = "json"
PLACE = "{dataset}"  # the benchmark's name replaces it in a path


def analyze(
    paths: Paths,
    dataset: abc.Sequence[str],
    tracker: abc.Sequence[str],
    protocol: abc.Sequence[str] = (),
    scores: abc.Sequence[str] = (),
    format: str = "text",
    digits: int = 1,
    out: Path | None = None,
    plots: bool = False,
    video: bool = False,
    html: Path | None = None,
    pictures: bool = False,
    per_attribute: bool = False,
    confidence: bool = False,
    attributes: abc.Sequence[str] = (),
    per_sequence: tuple[str, str] | None = None,
    bootstrap: int | None = None,
    seed: int = Bootstrap().seed,
) -> TextResult:
    """Compare trackers on benchmarks; the report is good if every tracker has every result and every protocol could
    score it. The program's ``--help`` describes the arguments.

    All results under one label are one tracker, whose runs are reported as mean and deviation; without a label each
    result set is a tracker. Raises ``RequestError`` for arguments that cannot be met, other ``ValueError`` and
    ``OSError`` for data that cannot be read or written.
    """
    try:
        for benchmark in dataset:
            choose_protocols(benchmark, protocol, ())
    except ValueError as error:
        raise RequestError(str(error)) from error
    for option, wanted, kind in (("--plots", plots, "pictures"), ("--video", video, "videos")):
        if wanted and out is None:
            raise RequestError(f"{option}: name the folder for the {kind} with --out FOLDER")
    if pictures and html is None:
        raise RequestError("--pictures: they are part of the page; name it with --html FILE")
    files = _attribute_files(attributes, dataset)
    comparisons, missing = [], []
    for benchmark in dict.fromkeys(dataset):
        comparison, lines = _compare(paths, benchmark, tracker, protocol, files.get(benchmark))
        missing += lines
        comparisons += [comparison] if comparison else []
    if not comparisons:
        raise ValueError(printable_lines(missing))
    _check_names(comparisons, scores, per_sequence, per_attribute)
    draw = Bootstrap(bootstrap, seed) if bootstrap else None
    if draw:
        comparisons = [with_intervals(comparison, draw) for comparison in comparisons]
    if confidence:
        comparisons = [comparison.with_confidence() for comparison in comparisons]
    content = {
        "format": 2,
        "unit": "fractions",
        "bootstrap": draw and draw._asdict(),
        "missing": missing,
        "benchmarks": [plain_comparison(comparison) for comparison in comparisons],
    }
    as_json = json.dumps(content, indent=1, allow_nan=False)
    tables = score_tables(comparisons, scores, draw)
    others: list[Table] = []
    if draw and len({entry.label for comparison in comparisons for entry in comparison.entries}) > 1:
        others += difference_tables(comparisons, draw, scores, per_sequence and per_sequence[1])
    for comparison in comparisons:
        if per_attribute and comparison.attributes:
            others += attribute_tables(comparison, scores)
        pair = [entry for entry in map(comparison.entry, per_sequence or ()) if entry]
        if len(pair) == 2:
            others += sequence_tables(comparison, pair, scores)
    measured = [table for comparison in comparisons for table in confidence_tables(comparison)]
    if out:
        for table in (*tables, *others, *measured):
            for form, ending in TABLE_FORMATS.items():
                write_text(out / f"{table.name}.{ending}", render_table(table, form, digits))
        write_text(out / "analysis.json", as_json + "\n")
        for comparison in comparisons:
            if plots:
                write_figures(comparison, out, per_attribute)
            if video:
                write_films(comparison, out)
    if html:
        drawer = None
        if pictures:
            from lib.programs.visualization import ResultDrawer  # it imports torch, which the analysis does not need

            drawer = ResultDrawer(paths)
        write_page(comparisons, html, drawer)
    report = as_json if format == JSON else _report(comparisons, tables, others, measured, format, digits)
    return TextResult(report, not missing and all(comparison.is_complete() for comparison in comparisons))


def _attribute_files(words: abc.Sequence[str], datasets: abc.Sequence[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for word in words:
        benchmark, equals, file = word.partition("=")
        if user_path(word).exists() or not equals:
            if len(set(datasets)) > 1:
                raise RequestError(f"--attributes {word}: name its dataset: --attributes DATASET={word}")
            benchmark, file = datasets[0], word
        if benchmark not in datasets:
            raise RequestError(f"--attributes {word}: {benchmark} is none of the datasets {', '.join(datasets)}")
        files[benchmark] = user_path(file)
    return files


def _check_names(
    comparisons: abc.Sequence[Comparison], scores: abc.Sequence[str], labels: abc.Sequence[str] | None, attributes: bool
) -> None:
    """Refuse names of scores and labels, which are known only when the results are read."""
    known = {name: None for each in comparisons for protocol in each.protocols for name in each.score_names(protocol)}
    for name in scores:
        if known and name not in known:
            raise RequestError(f"--scores: no score {name!r} by these protocols; there are {', '.join(known)}")
    there = {entry.label for comparison in comparisons for entry in comparison.entries}
    for label in labels or ():
        if label not in there:
            raise RequestError(f"--per-sequence: no tracker {label!r}; there are {', '.join(sorted(there))}")
    if attributes and not any(comparison.attributes for comparison in comparisons):
        names = ", ".join(comparison.benchmark for comparison in comparisons)
        raise RequestError(f"--per-attribute: no attributes are known of {names}; bring a file with --attributes")


def _compare(
    paths: Paths, benchmark: str, trackers: abc.Sequence[str], protocols: abc.Sequence[str], attributes: Path | None
) -> tuple[Comparison | None, list[str]]:
    """A benchmark's comparison, None without any results, and a line for each tracker without results."""
    readable = read_chosen(paths, benchmark)
    if readable.unreadable:
        raise ValueError(next(iter(readable.unreadable.values())))
    sequences = tuple(readable.sequences)
    names = [sequence.name for sequence in sequences]
    groups, missing = _find_groups(paths.output, benchmark, trackers, set(names))
    if not groups:
        return None, missing
    known = read_attributes(attributes, benchmark, names) if attributes else known_attributes(benchmark, names)
    chosen = choose_protocols(benchmark, protocols, sequences)
    return compare(benchmark, sequences, groups, chosen, known, missing), missing


def _find_groups(
    output: Path, benchmark: str, trackers: abc.Sequence[str], names: abc.Set[str]
) -> tuple[list[tuple[str, list[ResultSet]]], list[str]]:
    """Trackers with their result sets on a benchmark, by label, and a line for each tracker that has none."""
    words = [_label_and_word(word.replace(PLACE, benchmark)) for word in trackers]
    given = {label for label, _ in words}
    groups: dict[str, dict[tuple[Path, int], ResultSet]] = {}
    missing = []
    for label, word in words:
        try:
            results = _find(output, benchmark, word, bool(label), names)
        except ValueError as error:
            missing.append(f"{benchmark}: no results of {label or word}: {error}")
            continue
        for result in results:
            runs = groups.setdefault(label or result.label, {})
            place = result.source.resolve()  # the same results by two paths are no two runs
            if not label and (result.label in given or any(other != place for other, _ in runs)):
                raise RequestError(
                    f"--tracker: two trackers are called {result.label}; give one of them another label: "
                    f"LABEL={result.label}"
                )
            runs |= {(place, each.repetition): each for each in result.repetitions()}
    return [(label, list(runs.values())) for label, runs in groups.items()], missing


def _find(output: Path, benchmark: str, word: str, labeled: bool, names: abc.Set[str]) -> list[ResultSet]:
    if labeled and user_path(word).exists():  # a path is one result set: others below it are no runs of it
        return [open_result_set(user_path(word), benchmark)]
    # Without a list of the benchmark's names any text of boxes might be a result.
    found = [result for result in find_result_sets(output, benchmark, word) if names.intersection(result.names())]
    if not found:
        raise ValueError(f"{word}: holds results of other sequences than those of {benchmark}")
    return found


def _label_and_word(word: str) -> tuple[str, str]:
    """An empty label where none is given; a path with ``=`` in it that exists is a path."""
    label, equals, rest = word.partition("=")
    return (label, rest) if equals and not user_path(word).exists() else ("", word)


def _report(
    comparisons: abc.Sequence[Comparison],
    scores: list[Table],
    others: list[Table],
    confidence: list[Table],
    form: str,
    digits: int,
) -> str:
    """The printed tables, with all warnings once above them and all remarks once below the scores."""
    below = tuple(line for comparison in comparisons for line in remarks(comparison, comparison.protocols))
    warnings = dict.fromkeys(warning for comparison in comparisons for warning in comparison.warnings)
    bare = [replace(table, below=(), warnings=()) for table in (*scores, *others)]
    bare[len(scores) - 1] = replace(bare[len(scores) - 1], below=below)
    shown = [*bare, *(replace(table, warnings=()) for table in confidence)]
    shown[0] = replace(shown[0], warnings=tuple(warnings))
    return "\n".join(render_table(table, form, digits) for table in shown).rstrip("\n")
