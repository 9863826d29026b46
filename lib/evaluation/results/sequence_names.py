"""How other tools name the result files of a benchmark's sequences."""

import functools
import re

from lib.data.datasets.record import Spelling
from lib.data.datasets.registry import find_dataset
from lib.evaluation.benchmarks import find_benchmark


def sequence_name(written: str, benchmark: str) -> str | None:
    """The benchmark's name of the sequence of a result file; ``written`` is the file's name without ``.txt``.

    None if the benchmark has no such sequence; ``written`` itself if the package has no list of its sequences.
    """
    known = _by_key(benchmark)
    return known.get(_key(written, _spelling(benchmark))) if known else written


def shares_name(written: str, benchmark: str) -> bool:
    """Whether the file may be of another benchmark's sequence in the same folder: ``Basketball`` is OTB's where
    there is a ``tpl_Basketball`` too."""
    other = _spelling(benchmark).shared
    return bool(other) and written in (known_names(other) or ())


@functools.cache
def known_names(benchmark: str) -> tuple[str, ...] | None:
    """The names of the benchmark's sequences by the package's list; None without a list."""
    entry = find_benchmark(benchmark)
    names = find_dataset(entry.dataset).names.get(entry.split)
    return None if names is None else tuple(names())


@functools.cache
def _by_key(benchmark: str) -> dict[str, str]:
    spelling = _spelling(benchmark)
    return {_key(name, spelling): name for name in known_names(benchmark) or ()}


def _spelling(benchmark: str) -> Spelling:
    return find_dataset(find_benchmark(benchmark).dataset).spelling


def _key(name: str, spelling: Spelling) -> str:
    """The same for all spellings of a sequence, different for two sequences of a benchmark."""
    name = name.removeprefix(spelling.prefix)
    name = dict(spelling.aliases).get(name, name)
    return re.sub(r"[-.]", "_", name) if spelling.separators else name
