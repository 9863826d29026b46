"""The benchmarks a tracker can be tested on, by the names the field's own code uses."""

from __future__ import annotations

import difflib
from collections import abc
from pathlib import Path
from typing import NamedTuple

from lib.data.index import open_dataset
from lib.data.types import Sequence


class Benchmark(NamedTuple):
    """Which sequences are tracked and how they are scored.

    ``dataset`` names the reader and the key of the data's root in paths.yaml; ``split`` is that reader's; ``protocol``
    is the convention of the scores; ``server`` is who scores it where the ground truth is not public, else empty.
    """

    dataset: str
    split: str
    protocol: str
    server: str = ""


BENCHMARKS = {
    "got10k_val": Benchmark("got10k", "official_val", "got10k"),
    "got10k_test": Benchmark("got10k", "test", "got10k", server="the GOT-10k server (got-10k.aitestunion.com)"),
}

PLANNED = (
    "avist",
    "dtb70",
    "itb",
    "lasot",
    "lasot_extension_subset",
    "nfs",
    "otb",
    "tc128",
    "tc128ce",
    "tnl2k",
    "trackingnet",
    "uav",
    "uav20l",
    "vot18",
    "vot22",
)


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of that name; ``ValueError`` for one that is unknown, or known but without a reader yet."""
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    ready = ", ".join(BENCHMARKS)
    if name in PLANNED:
        raise ValueError(f"benchmark {name!r} is known, but its reader is not there yet; ready are: {ready}")
    near = difflib.get_close_matches(name, (*BENCHMARKS, *PLANNED), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"unknown benchmark {name!r}; {hint}ready are: {ready}")


def read_benchmark(name: str, root: Path, cache: Path) -> abc.Sequence[Sequence]:
    """The sequences of a benchmark whose dataset lies at ``root``, in the benchmark's order; see ``open_dataset``."""
    benchmark = find_benchmark(name)
    return open_dataset(benchmark.dataset, benchmark.split, root, cache)
