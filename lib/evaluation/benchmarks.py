"""The benchmarks a tracker can be tested on, by the names that published code uses."""

import logging
from collections import abc
from pathlib import Path
from typing import NamedTuple

from lib.config.schema import suggest
from lib.data.datasets.record import Benchmark, clashing_names
from lib.data.datasets.registry import DATASETS, find_dataset
from lib.data.stores.index import open_dataset
from lib.data.stores.packed import open_source
from lib.data.types import SHORTFALL, Sequence

logger = logging.getLogger(__name__)

BENCHMARKS: dict[str, Benchmark] = {
    name: benchmark._replace(dataset=dataset.name)
    for dataset in DATASETS.values()
    for name, benchmark in dataset.benchmarks.items()
}


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of that name; ``ValueError`` for an unknown one, with the nearest."""
    if name not in BENCHMARKS:
        raise ValueError(f"unknown benchmark {name!r}; {suggest(name, BENCHMARKS)}")
    return BENCHMARKS[name]


def part_in_words(benchmark: str, count: int, known: int = 0) -> str:
    """``2 of 70 sequences`` if ``count`` is less than the number of sequences of the benchmark, at least ``known``;
    empty for a whole set."""
    entry = find_benchmark(benchmark)
    expected = max(find_dataset(entry.dataset).count(entry.split) or 0, known)
    return f"{count} of {expected} sequences" if count < expected else ""


def named_part(benchmark: str, part: str) -> str:
    """The name of a benchmark in reports, with its part from ``part_in_words``."""
    return f"part of {benchmark} ({part})" if part else benchmark


class Readable(NamedTuple):
    """The sequences of a benchmark that can be read, in its order, and the errors of the others by name. ``left_out``
    are the names of sequences that were not requested."""

    sequences: abc.Sequence[Sequence]
    unreadable: abc.Mapping[str, str]
    left_out: abc.Sequence[str] = ()


def read_benchmark(name: str, root: Path, cache: Path) -> Readable:
    """The sequences of a benchmark whose dataset lies at ``root``. One that cannot be read does not hide the others,
    but it is returned too, since a score without it is no score of the set.

    Raises ``ValueError`` if the dataset cannot be listed, if no sequence can be read, and for two sequences whose
    results would share a file.
    """
    benchmark = find_benchmark(name)
    unreadable: dict[str, str] = {}
    try:
        sequences = open_dataset(benchmark.dataset, benchmark.split, root, cache)
    except ValueError:
        sequences = []
        for entry in find_dataset(benchmark.dataset).entries(open_source(root, cache), benchmark.split):
            try:
                sequences.append(entry.read())
            except ValueError as error:
                unreadable[entry.name] = str(error)
                logger.error("sequence %s cannot be read: %s", entry.name, error)
        for note in filter(None, (sequence.meta.get(SHORTFALL) for sequence in sequences)):
            logger.warning("%s", note)
        if not sequences or not unreadable:
            raise
    names = [*(sequence.name for sequence in sequences), *unreadable]
    official = find_dataset(benchmark.dataset).names.get(benchmark.split)
    if official and (others := sorted(set(names).difference(official()))):
        logger.warning("%s: %d sequences are not of %s, such as %s", root, len(others), name, others[0])
    for one, other in clashing_names(names):
        raise ValueError(
            f"{root}: results of the sequences {one} and {other} would be written to the same files; rename {other}"
        )
    return Readable(sequences, unreadable)
