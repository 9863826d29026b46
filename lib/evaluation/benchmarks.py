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
    "lasot": Benchmark("lasot", "test", "lasot"),
    "lasot_extension_subset": Benchmark("lasot_extension_subset", "test", "lasot"),
    "got10k_val": Benchmark("got10k", "official_val", "got10k"),
    "got10k_test": Benchmark("got10k", "test", "got10k", server="the GOT-10k server (got-10k.aitestunion.com)"),
    "trackingnet": Benchmark("trackingnet", "test", "trackingnet", server="the TrackingNet server (eval.ai)"),
    "otb": Benchmark("otb", "otb100", "pytracking"),
    "uav": Benchmark("uav", "uav123", "grm"),
    "uav20l": Benchmark("uav", "uav20l", "pytracking"),
    "nfs": Benchmark("nfs", "nfs30", "grm"),
    "avist": Benchmark("avist", "test", "grm"),
    "tnl2k": Benchmark("tnl2k", "test", "lasot"),
    "itb": Benchmark("itb", "test", "pytracking"),
    "tc128": Benchmark("tc128", "tc128", "pytracking"),
    "tc128ce": Benchmark("tc128", "ce", "pytracking"),
    "dtb70": Benchmark("dtb70", "test", "pytracking"),
    "vot18": Benchmark("vot18", "vot2018", "pytracking"),
    "vot20": Benchmark("vot20", "vot2020", "pytracking"),
    "vot22": Benchmark("vot22", "vot2022", "pytracking"),
    "own": Benchmark("own", "all", "pytracking"),
}


def find_benchmark(name: str) -> Benchmark:
    """The benchmark of that name; ``ValueError`` for an unknown one, with the nearest."""
    if name not in BENCHMARKS:
        near = difflib.get_close_matches(name, BENCHMARKS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown benchmark {name!r}; {hint}known are: {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def read_benchmark(name: str, root: Path, cache: Path) -> abc.Sequence[Sequence]:
    """The sequences of a benchmark whose dataset lies at ``root``, in the benchmark's order; see ``open_dataset``."""
    benchmark = find_benchmark(name)
    return open_dataset(benchmark.dataset, benchmark.split, root, cache)
