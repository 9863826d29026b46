"""Every benchmark's names come back from every spelling of them, and no spelling means two sequences."""

import pytest

from lib.data.datasets.registry import find_dataset
from lib.evaluation.benchmarks import BENCHMARKS
from lib.evaluation.results.sequence_names import known_names, sequence_name, shares_name


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_each_name_means_itself_and_so_does_each_spelling(benchmark: str) -> None:
    names = known_names(benchmark)
    if names is None:
        assert sequence_name("any.name-1", benchmark) == "any.name-1"
        return
    assert len(set(names)) == len(names)
    spelling = find_dataset(BENCHMARKS[benchmark].dataset).spelling
    for name in names:
        assert sequence_name(name, benchmark) == name
        bare = name.removeprefix(spelling.prefix)
        for separator in "_-." if spelling.separators else "_":
            for prefix in ("", spelling.prefix):
                assert sequence_name(prefix + bare.replace("_", separator), benchmark) == name
    assert sequence_name("no such sequence", benchmark) is None
    assert sequence_name(f"{names[0]}_time", benchmark) is None


SPELLINGS = [
    ("uav", "bike1", "uav_bike1"),
    ("uav", "uav_bike1", "uav_bike1"),
    ("uav", "uav2", "uav_uav2"),
    ("uav", "uav_uav2", "uav_uav2"),
    ("uav20l", "uav_uav1", "uav1"),
    ("nfs", "Gymnastics", "nfs_Gymnastics"),
    ("otb", "otb_Jogging_1", "Jogging_1"),
    ("otb", "Jogging.1", "Jogging_1"),
    ("otb", "Jogging-1", "Jogging_1"),
    ("otb", "Human4", "Human4_2"),
    ("otb", "otb_Human4_2", "Human4_2"),
    ("tc128", "Yo-yos_ce3", "tpl_Yo_yos_ce3"),
    ("tc128", "Basketball", "tpl_Basketball"),
]


def test_spellings_of_other_tools() -> None:
    for benchmark, written, name in SPELLINGS:
        assert sequence_name(written, benchmark) == name


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
