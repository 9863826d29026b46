"""Comparing the results of trackers on benchmarks: the body of `tracking/analysis_results.py`."""

import json
from collections import Counter, abc
from dataclasses import dataclass, replace
from pathlib import Path

from lib.config.paths import Paths, user_path
from lib.evaluation.benchmarks import find_benchmark, read_benchmark
from lib.evaluation.metrics.attributes import known_attributes, read_attributes
from lib.evaluation.reports.bootstrap import Bootstrap, with_intervals
from lib.evaluation.reports.comparison import Comparison, choose_protocols, compare
from lib.evaluation.reports.confidence import with_confidence
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
from lib.evaluation.results.raw_results import find_result_sets, open_result_set
from lib.evaluation.results.result_set import ResultSet
from lib.runtime.escapes import printable_lines
from lib.runtime.files import write_text
from lib.runtime.program import Outcome, RequestError

JSON = "json"
PLACE = "{dataset}"  # the benchmark's name replaces it in a path


@dataclass(frozen=True)
class Request:
    """The trackers to compare, and the reports to make.

    ``trackers`` are ``WHAT`` or ``LABEL=WHAT``: a folder or zip of results, with ``{dataset}`` for the benchmark's
    name, or a name to search the output folder for. All results under one label are one tracker, whose runs are
    reported as mean and deviation; without a label each result set is a tracker.

    ``protocols`` and ``scores`` default to the benchmarks' own and to all. ``attribute_files`` are ``FILE`` or
    ``DATASET=FILE``. ``pair`` are two labels whose sequences are listed by difference. ``form`` is the format of the
    returned report; the folder ``out`` gets every table in every format, and ``page`` is an HTML file. ``confidence``
    reads the trackers' own scores too; ``pictures`` adds the decisions of our networks on the worst frames to the page.
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


def analyze(paths: Paths, request: Request) -> Outcome:
    """The report; it is good if every tracker has every result and every protocol could score it.

    Raises ``RequestError`` for a request that cannot be met, other ``ValueError`` and ``OSError`` for data that cannot
    be read or written.
    """
    files = _check(request)
    comparisons, missing = [], []
    for benchmark in dict.fromkeys(request.datasets):
        comparison, lines = _compare(paths, benchmark, request, files.get(benchmark))
        missing += lines
        comparisons += [comparison] if comparison else []
    if not comparisons:
        raise ValueError(printable_lines(missing))
    _check_names(comparisons, request)
    if request.bootstrap:
        comparisons = [with_intervals(comparison, request.bootstrap) for comparison in comparisons]
    if request.confidence:
        comparisons = [with_confidence(comparison) for comparison in comparisons]
    content = {
        "format": 2,
        "unit": "fractions",
        "bootstrap": request.bootstrap and request.bootstrap._asdict(),
        "missing": missing,
        "benchmarks": [plain_comparison(comparison) for comparison in comparisons],
    }
    as_json = json.dumps(content, indent=1, allow_nan=False)
    scores = score_tables(comparisons, request.scores, request.bootstrap)
    others = _other_tables(comparisons, request)
    confidence = [table for comparison in comparisons for table in confidence_tables(comparison)]
    if request.out:
        for table in (*scores, *others, *confidence):
            for form, ending in FORMATS.items():
                write_text(request.out / f"{table.name}.{ending}", render(table, form, request.digits))
        write_text(request.out / "analysis.json", as_json + "\n")
        for comparison in comparisons:
            if request.plots:
                write_figures(comparison, request.out, request.per_attribute)
            if request.video:
                write_films(comparison, request.out)
    if request.page:
        write_page(comparisons, request.page, _drawer(paths) if request.pictures else None)
    report = as_json if request.form == JSON else _report(comparisons, scores, others, confidence, request)
    return Outcome(report, not missing and all(comparison.is_complete() for comparison in comparisons))


def _drawer(paths: Paths) -> Draw:
    from lib.programs.visualization import ResultDrawer  # it imports torch, which the analysis does not need

    return ResultDrawer(paths)


def _check(request: Request) -> dict[str, Path]:
    """Refuse what needs no data to be refused; the user's files of attributes by benchmark."""
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
    files: dict[str, Path] = {}
    for word in request.attribute_files:
        benchmark, equals, file = word.partition("=")
        if user_path(word).exists() or not equals:
            if len(set(request.datasets)) > 1:
                raise RequestError(f"--attributes {word}: name its dataset: --attributes DATASET={word}")
            benchmark, file = request.datasets[0], word
        if benchmark not in request.datasets:
            raise RequestError(
                f"--attributes {word}: {benchmark} is none of the datasets {', '.join(request.datasets)}"
            )
        files[benchmark] = user_path(file)
    return files


def _check_names(comparisons: abc.Sequence[Comparison], request: Request) -> None:
    """Labels and scores are known only when the results are read."""
    known = {name: None for each in comparisons for protocol in each.protocols for name in each.score_names(protocol)}
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
    """A benchmark's comparison, None without any results, and a line for each tracker without results."""
    root = paths.dataset_root(find_benchmark(benchmark).dataset)
    readable = read_benchmark(benchmark, root, paths.cache)
    for error in readable.unreadable.values():
        raise ValueError(error)
    sequences = tuple(readable.sequences)
    names = [sequence.name for sequence in sequences]
    groups, missing = _find_groups(paths.output, benchmark, request.trackers, names)
    if not groups:
        return None, missing
    protocols = choose_protocols(benchmark, request.protocols, sequences)
    known = read_attributes(attributes, benchmark, names) if attributes else known_attributes(benchmark, names)
    return compare(benchmark, sequences, groups, protocols, known, missing), missing


def _find_groups(
    output: Path, benchmark: str, trackers: abc.Sequence[str], names: abc.Sequence[str]
) -> tuple[list[tuple[str, list[ResultSet]]], list[str]]:
    """Trackers with their result sets on a benchmark, by label, and a line for each tracker that has none.

    Trackers without a label are searched for together, so that their labels are distinct, and take the place of the
    first of them.
    """
    known = set(names)
    words = [_label_and_word(word.replace(PLACE, benchmark)) for word in trackers]
    found: dict[tuple[str, str], list[ResultSet]] = {}
    missing = []
    for label, word in words:
        try:
            if label and user_path(word).exists():  # a path is one result set: others below it are no runs of it
                found[label, word] = [open_result_set(user_path(word), benchmark)]
            else:
                found[label, word] = _find(output, benchmark, [word], known)
        except ValueError as error:
            missing.append((bool(label), f"{benchmark}: no results of {label or word}: {error}"))
    unlabeled = [word for label, word in found if not label]
    unnamed = _find(output, benchmark, unlabeled, known) if unlabeled else []
    counts = Counter([*(result.label for result in unnamed), *{label for label, _ in words}])
    for name in (name for name, count in counts.items() if count > 1):
        raise RequestError(f"--tracker: two trackers are called {name}; give one of them another label: LABEL={name}")
    groups: dict[str, dict[tuple[Path, int], ResultSet]] = {}
    for label, word in words:
        results = found.get((label, word), []) if label else unnamed
        for result in results:
            runs = groups.setdefault(label or result.label, {})
            runs |= {(each.source, each.repetition): each for each in result.repetitions()}
    lines = [line for _, line in sorted(missing, key=lambda pair: pair[0])]
    return [(label, list(runs.values())) for label, runs in groups.items()], lines


def _find(output: Path, benchmark: str, words: list[str], names: abc.Set[str]) -> list[ResultSet]:
    """Result sets with any sequence of the benchmark: without a list of its names any text of boxes might be one."""
    found = find_result_sets(output, benchmark, words)
    own = [result for result in found if names.intersection(result.names())]
    if not own:
        raise ValueError(f"{', '.join(words)}: holds results of other sequences than those of {benchmark}")
    return own


def _label_and_word(word: str) -> tuple[str, str]:
    """An empty label where none is given; a path with ``=`` in it that exists is a path."""
    label, equals, what = word.partition("=")
    return (label, what) if equals and not user_path(word).exists() else ("", word)


def _report(
    comparisons: abc.Sequence[Comparison],
    scores: list[Table],
    others: list[Table],
    confidence: list[Table],
    request: Request,
) -> str:
    """The printed tables, with all warnings once above them and all remarks once below the scores."""
    below = [line for comparison in comparisons for line in remarks(comparison, comparison.protocols)]
    warnings = dict.fromkeys(warning for comparison in comparisons for warning in comparison.warnings)
    shown = [replace(table, below=(), warnings=()) for table in (*scores, *others)]
    shown[len(scores) - 1] = replace(shown[len(scores) - 1], below=tuple(below))
    shown += [replace(table, warnings=()) for table in confidence]
    shown[0] = replace(shown[0], warnings=tuple(warnings))
    return "\n".join(render(table, request.form, request.digits) for table in shown).rstrip("\n")


def _other_tables(comparisons: abc.Sequence[Comparison], request: Request) -> list[Table]:
    tables: list[Table] = []
    if request.bootstrap and len({entry.label for each in comparisons for entry in each.entries}) > 1:
        against = request.pair[1] if request.pair else None
        tables += difference_tables(comparisons, request.bootstrap, request.scores, against)
    for comparison in comparisons:
        if request.per_attribute and comparison.attributes:
            tables += attribute_tables(comparison, request.scores)
        if request.pair and all(map(comparison.entry, request.pair)):
            tables += sequence_tables(comparison, request.pair, request.scores)
    return tables
