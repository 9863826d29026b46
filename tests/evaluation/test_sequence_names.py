"""Every benchmark's names come back from every spelling of them, and no spelling means two sequences."""

from __future__ import annotations

import pytest

from lib.data.datasets.otb import list_otb
from lib.data.datasets.uav import _uav20l
from lib.evaluation.benchmarks import BENCHMARKS
from lib.evaluation.results.sequence_names import SPELLINGS, known_names, sequence_name, shares_name

LENGTHS = {
    "lasot": 280, "lasot_extension_subset": 150, "got10k_val": 180, "got10k_test": 180, "trackingnet": 511, "otb": 100,
    "uav": 123, "uav20l": 20, "nfs": 100, "avist": 120, "tnl2k": 700, "tc128": 129, "tc128ce": 78, "vot18": 60,
    "vot20": 60, "vot22": 62,
}  # fmt: skip


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_each_name_means_itself_and_so_does_each_spelling(benchmark: str) -> None:
    names = known_names(benchmark)
    assert len(set(names or ())) == LENGTHS.get(benchmark, 0)
    if names is None:
        assert sequence_name("any.name-1", benchmark) == "any.name-1"
        return
    spelling = SPELLINGS.get(benchmark)
    for name in names:
        assert sequence_name(name, benchmark) == name
        if spelling:
            bare = name.removeprefix(spelling.prefix)
            for separator in "_-." if spelling.separators else "_":
                for prefix in ("", spelling.prefix):
                    assert sequence_name(prefix + bare.replace("_", separator), benchmark) == name
    assert sequence_name("no such sequence", benchmark) is None
    assert sequence_name(f"{names[0]}_time", benchmark) is None


def test_names_are_those_that_the_readers_give() -> None:
    assert [entry.name for entry in list_otb(None, "otb100")] == list(known_names("otb"))
    assert [listed.name for listed in _uav20l()] == list(known_names("uav20l"))


@pytest.mark.parametrize("benchmark", ["trackingnet", "lasot", "tnl2k"])
def test_names_that_differ_by_a_separator_alone_stay_apart(benchmark: str) -> None:
    """In TrackingNet's, of YouTube, each of them matters."""
    name = next(name for name in known_names(benchmark) if "-" in name)
    assert sequence_name(name.replace("-", "_"), benchmark) is None


def test_no_other_benchmarks_names_are_taken_for_ones_own() -> None:
    """In a folder where one tool has tracked them all, with the prefixes of the pytracking family."""
    together = ("lasot", "lasot_extension_subset", "nfs", "uav", "otb", "trackingnet", "avist", "tnl2k")
    for benchmark in (*together, "tc128"):
        foreign = {name for other in (*together, "tc128") if other != benchmark for name in known_names(other)}
        taken = {name for name in foreign - set(known_names(benchmark)) if sequence_name(name, benchmark)}
        assert all(shares_name(name, benchmark) for name in taken), benchmark
        assert bool(taken) == (benchmark == "tc128")
    assert not shares_name("tpl_Basketball", "tc128")
    assert not shares_name("Basketball", "otb")
