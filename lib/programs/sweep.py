"""Values of one test-time setting tried on a benchmark: their grammar, where they are allowed, and their table."""

import json
from collections import abc
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

from lib.config.suggestion import suggest
from lib.config.yaml12 import read_value
from lib.evaluation.benchmarks import BENCHMARKS, find_benchmark
from lib.evaluation.reports.comparison import Comparison, ScoredRun
from lib.evaluation.reports.plain import plain_score
from lib.evaluation.reports.tables import Cell, Column, Row, Table, render
from lib.evaluation.results.folder import sweep_warning
from lib.experiment.config import per_dataset_keys
from lib.runtime.files import write_text

MOST_VALUES = 1000  # each tracks the whole benchmark; more is a slip of the step


@dataclass(frozen=True)
class Sweep:
    """The values to try of the setting ``key``, as they would stand behind ``key=``; ``text`` is what was asked."""

    key: str
    values: tuple[str, ...]
    text: str

    def overrides(self) -> list[str]:
        """An override of the configuration for each value."""
        return [f"{self.key}={value}" for value in self.values]


class Tested(NamedTuple):
    """One value of a sweep, tested with the weights of ``checkpoint``."""

    value: str
    checkpoint: Path
    run: ScoredRun


def parse_sweep(text: str) -> Sweep:
    """``model.division.threshold=0:1:0.1`` (start, stop, step; the stop is one of the values) or ``key=a,b,c``.

    Raises ``ValueError`` for any other form, and for a setting that is not one of ``per_dataset_keys``: those alone
    leave the weights as they are.
    """
    key, equals, listed = (part.strip() for part in text.partition("="))
    if not equals or not listed:
        raise ValueError(f"--sweep {text}: should be key=start:stop:step or key=value,value,...")
    allowed = per_dataset_keys()
    if key not in allowed:
        raise ValueError(f"--sweep {text}: {key} may not be swept; {suggest(key, allowed)}")
    values = _range(text, listed.split(":")) if ":" in listed else [part.strip() for part in listed.split(",")]
    if not all(values):
        raise ValueError(f"--sweep {text}: a value is empty; should be key=value,value,...")
    return Sweep(key, tuple(dict.fromkeys(values)), text)


def check_sweep(sweep: Sweep, benchmark: str, overrides: Iterable[str], on_test_set: bool) -> None:
    """``ValueError`` for a sweep on a test set that ``on_test_set`` does not ask for, on a benchmark whose scores only
    a server knows, and of a setting that ``overrides`` set as well."""
    entry = find_benchmark(benchmark)
    where = f"--sweep {sweep.text}"
    if entry.server:
        raise ValueError(f"{where}: the scores of {benchmark} are known to {entry.server} alone; sweep on got10k_val")
    if entry.test_set and not on_test_set:
        others = " or ".join(name for name, other in BENCHMARKS.items() if not other.test_set)
        raise ValueError(
            f"{where}: {benchmark} is a test set, whose scores no longer tell how good a tracker is once they have "
            f"chosen its settings; sweep on {others}, or say --on-test-set, and every report of these results says so"
        )
    for override in overrides:
        if override.partition("=")[0].strip() == sweep.key:
            raise ValueError(f"{where}: {override} sets it as well; leave one of the two out")


def sweep_table(sweep: Sweep, comparison: Comparison, tested: abc.Sequence[Tested]) -> str:
    """The benchmark's scores in percent, a line for each value; below, the value with the highest first score."""
    [protocol] = comparison.protocols
    names = comparison.score_names(protocol)
    rows = []
    for case in tested:
        values = case.run.scores.values(protocol)
        cells = [Cell(values.get(name)) for name in names]
        rows.append(Row(case.value, (*cells, case.run.results.source.name)))
    below = []
    scored = [case for case in tested if case.run.scores.values(protocol)]
    if scored:
        best = max(scored, key=lambda case: case.run.scores.values(protocol)[names[0]])
        number = f"{100 * best.run.scores.values(protocol)[names[0]]:.2f}"
        below.append(f"highest {names[0]}: {number} with {sweep.key}={best.value} ({best.run.results.source.name})")
    warning = sweep_warning(tested[0].run.results.manifest)
    title = f"sweep of {sweep.text} on {comparison.title}, protocol {protocol} (%)"
    columns = tuple(Column("", name) for name in (*names, "results"))
    below += [f"WARNING: {warning}"] if warning else []
    return render(Table("sweep", title, "value", columns, tuple(rows), tuple(below)), "text", digits=2).rstrip("\n")


def write_sweep(sweep: Sweep, comparison: Comparison, tested: abc.Sequence[Tested], reports: Path) -> Path:
    """Keep the scores by every protocol for each value as JSON in ``reports``; the file's path.

    Scores without other sequences of the set lie in a file of their own, beside those of all.
    """
    scores = [plain_score(comparison, case.run) for case in tested]
    content = {
        "sweep": sweep.text,
        "setting": sweep.key,
        "benchmark": comparison.benchmark,
        "part": comparison.part,
        "protocol": scores[0]["protocol"],
        "warning": sweep_warning(tested[0].run.results.manifest),
        "tested": [
            {
                "value": read_value(case.value, sweep.key, "--sweep"),
                "checkpoint": str(case.checkpoint),
                "results": str(case.run.results.source),
                "scores": score["scores"],
                "errors": score["errors"],
            }
            for case, score in zip(tested, scores, strict=True)
        ],
    }
    part = "-part" if comparison.others else ""
    file = reports / f"sweep-{comparison.benchmark}-{sweep.key}{part}.json"
    write_text(file, json.dumps(content, indent=1, allow_nan=False) + "\n")
    return file


def _range(text: str, parts: list[str]) -> list[str]:
    """The decimals from start to stop, both included: 0.3 and not 0.30000000000000004."""
    try:
        start, stop, step = map(Decimal, parts)
    except (InvalidOperation, ValueError) as error:
        raise ValueError(f"--sweep {text}: a range is three numbers, start:stop:step") from error
    if not all(number.is_finite() for number in (start, stop, step)) or step <= 0 or stop < start:
        raise ValueError(f"--sweep {text}: a range goes up from start to stop by a step above 0")
    if (stop - start) / step >= MOST_VALUES:
        raise ValueError(f"--sweep {text}: more than {MOST_VALUES} values; take a larger step")
    count, rest = divmod(stop - start, step)
    if rest:
        last = start + count * step
        raise ValueError(f"--sweep {text}: the stop is not among the values; end at {last} or {last + step}")
    return [format(start + number * step, "f") for number in range(int(count) + 1)]
