"""Benchmarks are found by the lineage's names, and what cannot be run says why."""

from __future__ import annotations

import pytest

from lib.data.datasets.registry import DATASETS
from lib.evaluation.benchmarks import BENCHMARKS, PLANNED, find_benchmark, read_benchmark


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_a_reader_that_knows_its_split(name: str, tmp_path) -> None:
    assert find_benchmark(name).dataset in DATASETS
    with pytest.raises(ValueError) as caught:
        read_benchmark(name, tmp_path, tmp_path)
    assert "no split" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", PLANNED)
def test_a_benchmark_without_a_reader_says_so(name: str) -> None:
    with pytest.raises(ValueError, match="not there yet"):
        find_benchmark(name)


def test_an_unknown_benchmark_gets_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="did you mean 'got10k_val'"):
        find_benchmark("got10k_vall")
    with pytest.raises(ValueError, match="ready are: got10k_val"):
        find_benchmark("zebra")
