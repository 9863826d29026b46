"""Values of one test-time setting tried on a benchmark: their grammar, where they are allowed, and their report."""

import json
from collections import abc
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from operator import itemgetter

from lib.config.paths import Paths
from lib.config.schema import suggest
from lib.config.yaml12 import read_value
from lib.evaluation.benchmarks import BENCHMARKS, find_benchmark
from lib.evaluation.reports.comparison import Comparison
from lib.evaluation.reports.plain import plain_score
from lib.evaluation.results.folder import sweep_warning
from lib.experiment.config import per_dataset_keys
from lib.programs.testing import Candidate
from lib.runtime.files import write_text

MOST_VALUES = 1000  # each tracks the whole benchmark; more is a slip of the step


@dataclass(frozen=True)
class Sweep:
    """The ``values`` to try of the setting ``key``, as texts of YAML; ``text`` is the argument of ``--sweep``."""

    key: str
    values: tuple[str, ...]
    text: str

    def overrides(self) -> list[str]:
        """An override of the configuration for each value."""
        return [f"{self.key}={value}" for value in self.values]


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
    """Raise ``ValueError`` for a sweep on a test set without ``on_test_set``, on a benchmark that a server scores, and
    of a setting that ``overrides`` set as well."""
    entry = find_benchmark(benchmark)
    where = f"--sweep {sweep.text}"
    if entry.server:
        raise ValueError(f"{where}: the scores of {benchmark} are known to {entry.server} alone; sweep on got10k_val")
    if entry.test_set and not on_test_set:
        others = " or ".join(name for name, other in BENCHMARKS.items() if not other.test_set)
        raise ValueError(
            f"{where}: {benchmark} is a test set; its scores no longer measure a tracker whose settings they have "
            f"chosen; sweep on {others}, or add --on-test-set, and every report of these results states the sweep"
        )
    for override in overrides:
        if override.partition("=")[0].strip() == sweep.key:
            raise ValueError(f"{where}: {override} sets it as well; leave one of the two out")


def report_sweep(sweep: Sweep, comparison: Comparison, candidates: abc.Sequence[Candidate], paths: Paths) -> list[str]:
    """Keep the scores by every protocol for each value as JSON in the experiment's folder ``reports``. Returns lines to
    print: the candidate with the highest first score, and the file.

    Scores without other sequences of the set lie in a file of their own, beside those of all.
    """
    scores = [plain_score(comparison, run) for run in comparison.runs]
    manifest, protocol = comparison.runs[0].results.manifest, scores[0]["protocol"]
    content = {
        "sweep": sweep.text,
        "setting": sweep.key,
        "benchmark": comparison.benchmark,
        "part": comparison.part,
        "protocol": protocol,
        "warning": sweep_warning(manifest),
        "tested": [
            {
                "value": read_value(candidate.setting.partition("=")[2], sweep.key, "--sweep"),
                "checkpoint": str(candidate.source),
                "results": score["source"],
                "scores": score["scores"],
                "errors": score["errors"],
            }
            for candidate, score in zip(candidates, scores, strict=True)
        ],
    }
    part = "-part" if comparison.others else ""
    file = paths.output / manifest["experiment"] / "reports" / f"sweep-{comparison.benchmark}-{sweep.key}{part}.json"
    write_text(file, json.dumps(content, indent=1, allow_nan=False) + "\n")
    lines = [f"kept in {file}"]
    name = next(iter(comparison.score_names(protocol)), "")
    found = zip((score["scores"][protocol].get(name) for score in scores), candidates, strict=True)
    if scored := [(value, candidate.label) for value, candidate in found if value is not None]:
        best, label = max(scored, key=itemgetter(0))
        lines.insert(0, f"highest {name}: {100 * best:.2f} with {label}")
    return lines


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
