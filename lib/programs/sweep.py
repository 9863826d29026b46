"""Values of one test-time setting tried on a benchmark: their grammar, where they are allowed, and their report."""

import json
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from operator import itemgetter
from typing import NamedTuple

from lib.config.paths import Paths
from lib.config.schema import suggest
from lib.config.tree import flat
from lib.evaluation.benchmarks import BENCHMARKS, find_benchmark
from lib.evaluation.reports.comparison import Comparison
from lib.evaluation.reports.plain import plain_score
from lib.evaluation.results.folder import sweep_warning
from lib.experiment.config import per_dataset_keys
from lib.runtime.files import write_text

MOST_VALUES = 1000  # each tracks the whole benchmark; more is a slip of the step


class Sweep(NamedTuple):
    """A setting ``key`` with the values to try, each an override ``key=value`` of the configuration; ``text`` is the
    argument of ``--sweep``."""

    key: str
    overrides: list[str]
    text: str


def parse_sweep(text: str, benchmark: str, overrides: Iterable[str] = (), on_test_set: bool = False) -> Sweep:
    """``model.division.threshold=0:1:0.1`` (start, stop, step; the stop is one of the values) or ``key=a,b,c``.

    Raises ``ValueError`` for any other form, and for a setting that is not one of ``per_dataset_keys``: those alone
    leave the weights as they are. Also on a test set without ``on_test_set``, on a benchmark that a server scores, and
    for a setting that ``overrides`` set as well.
    """
    where = f"--sweep {text}"
    key, equals, listed = (part.strip() for part in text.partition("="))
    if not equals or not listed:
        raise ValueError(f"{where}: should be key=start:stop:step or key=value,value,...")
    allowed = per_dataset_keys()
    if key not in allowed:
        raise ValueError(f"{where}: {key} may not be swept; {suggest(key, allowed)}")
    values = _range(where, listed.split(":")) if ":" in listed else [part.strip() for part in listed.split(",")]
    if not all(values):
        raise ValueError(f"{where}: a value is empty; should be key=value,value,...")
    entry = find_benchmark(benchmark)
    if entry.server:
        raise ValueError(f"{where}: the scores of {benchmark} are known to {entry.server} alone; sweep on got10k_val")
    if entry.test_set and not on_test_set:
        others = " or ".join(name for name, other in BENCHMARKS.items() if not other.test_set)
        raise ValueError(
            f"{where}: {benchmark} is a test set; its scores no longer measure a tracker whose settings they have "
            f"chosen; sweep on {others}, or add --on-test-set, and every report of these results states the sweep"
        )
    for override in overrides:
        if override.partition("=")[0].strip() == key:
            raise ValueError(f"{where}: {override} sets it as well; leave one of the two out")
    return Sweep(key, [f"{key}={value}" for value in dict.fromkeys(values)], text)


def report_sweep(sweep: Sweep, comparison: Comparison, paths: Paths) -> list[str]:
    """Keep the scores by every protocol for each value as JSON in the experiment's folder ``reports``. Returns lines to
    print: the tracker with the highest first score, and the file.

    Scores without other sequences of the set lie in a file of their own, beside those of all.
    """
    scores = [plain_score(comparison, run) for run in comparison.runs]
    manifest, protocol = scores[0]["manifest"], scores[0]["protocol"]
    content = {
        "sweep": sweep.text,
        "setting": sweep.key,
        "benchmark": comparison.benchmark,
        "part": comparison.part,
        "protocol": protocol,
        "warning": sweep_warning(manifest),
        "tested": [
            {
                "value": flat(score["manifest"]["settings"])[sweep.key],
                "checkpoint": score["manifest"]["runs"][-1]["checkpoint"],
                "results": score["source"],
                "scores": score["scores"],
                "errors": score["errors"],
            }
            for score in scores
        ],
    }
    part = "-part" if comparison.others else ""
    file = paths.output / manifest["experiment"] / "reports" / f"sweep-{comparison.benchmark}-{sweep.key}{part}.json"
    write_text(file, json.dumps(content, indent=1, allow_nan=False) + "\n")
    lines = [f"kept in {file}"]
    name = next(iter(comparison.score_names(protocol)), "")
    values = [score["scores"][protocol].get(name) for score in scores]
    found = zip(values, comparison.entries, strict=True)
    if scored := [(value, entry.label) for value, entry in found if value is not None]:
        best, label = max(scored, key=itemgetter(0))
        lines.insert(0, f"highest {name}: {100 * best:.2f} with {label}")
    return lines


def _range(where: str, parts: list[str]) -> list[str]:
    """The decimals from start to stop, both included: 0.3 and not 0.30000000000000004."""
    try:
        start, stop, step = map(Decimal, parts)
    except (InvalidOperation, ValueError) as error:
        raise ValueError(f"{where}: a range is three numbers, start:stop:step") from error
    if not all(number.is_finite() for number in (start, stop, step)) or step <= 0 or stop < start:
        raise ValueError(f"{where}: a range goes up from start to stop by a step above 0")
    if (stop - start) / step >= MOST_VALUES:
        raise ValueError(f"{where}: more than {MOST_VALUES} values; take a larger step")
    count, rest = divmod(stop - start, step)
    if rest:
        last = start + count * step
        raise ValueError(f"{where}: the stop is not among the values; end at {last} or {last + step}")
    return [format(start + number * step, "f") for number in range(int(count) + 1)]
