"""Benchmarks have the names of published code; sequences that cannot be read are errors of their own."""

import shutil

import numpy as np
import pytest
from miniatures import write_boxes, write_frames

from lib.data.datasets.record import clashing_names
from lib.data.datasets.registry import DATASETS, find_dataset
from lib.evaluation.benchmarks import (
    BENCHMARKS,
    find_benchmark,
    named_part,
    part_in_words,
    read_benchmark,
)
from lib.evaluation.results.sequence_names import known_names


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_a_reader_that_knows_its_split(name: str, tmp_path) -> None:
    assert find_benchmark(name).dataset in DATASETS
    with pytest.raises(ValueError) as caught:
        read_benchmark(name, tmp_path, tmp_path)
    assert "no split" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_the_names_of_the_field_and_their_protocols() -> None:
    by_protocol: dict[str, set[str]] = {}
    for name, benchmark in BENCHMARKS.items():
        by_protocol.setdefault(benchmark.protocol, set()).add(name)
    expected = {
        "lasot": {"lasot", "lasot_extension_subset", "tnl2k"},
        "got10k": {"got10k_val", "got10k_test"},
        "trackingnet": {"trackingnet"},
        "grm": {"nfs", "uav", "avist"},
        "pytracking": {
            "otb", "uav20l", "uav123_10fps", "itb", "tc128", "tc128ce", "dtb70", "vot18", "vot20", "vot22", "own",
        },
    }  # fmt: skip
    assert by_protocol == expected
    assert {name for name, benchmark in BENCHMARKS.items() if benchmark.server} == {"got10k_test", "trackingnet"}


def test_every_benchmark_knows_how_many_sequences_it_has() -> None:
    expected = {name: find_dataset(entry.dataset).count(entry.split) for name, entry in BENCHMARKS.items()}
    assert [name for name, count in expected.items() if count is None] == ["own"]
    listed = {name: names for name in BENCHMARKS if (names := known_names(name))}
    assert {name: expected[name] for name in listed} == {name: len(names) for name, names in listed.items()}
    assert {name: expected[name] for name in expected.keys() - listed.keys()} == {"own": None, "dtb70": 70, "itb": 180}


def test_fewer_sequences_than_a_benchmark_has_are_a_part_of_it() -> None:
    assert part_in_words("dtb70", 2) == "2 of 70 sequences" and part_in_words("dtb70", 70) == ""
    assert part_in_words("own", 2) == "" and part_in_words("own", 2, 3) == "2 of 3 sequences"
    assert part_in_words("dtb70", 70, 71) == "70 of 71 sequences"
    assert named_part("dtb70", "2 of 70 sequences") == "part of dtb70 (2 of 70 sequences)"
    assert named_part("dtb70", "") == "dtb70"


def test_two_benchmarks_of_one_dataset_share_its_root() -> None:
    roots = {name: benchmark.dataset for name, benchmark in BENCHMARKS.items() if benchmark.dataset != name}
    assert roots == {"got10k_val": "got10k", "got10k_test": "got10k", "uav20l": "uav", "tc128ce": "tc128"}


def test_an_unknown_benchmark_gets_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="did you mean got10k_val"):
        find_benchmark("got10k_vall")
    with pytest.raises(ValueError, match="unknown benchmark 'zebra'; known: lasot, lasot_ext"):
        find_benchmark("zebra")


def test_a_damaged_sequence_does_not_hide_the_others(toy_got10k, tmp_path) -> None:
    root = tmp_path / "got10k"
    shutil.copytree(toy_got10k, root)
    whole = read_benchmark("got10k_val", root, tmp_path)
    assert whole.unreadable == {}
    damaged, kept = whole.sequences
    (root / "val" / damaged.name / "groundtruth.txt").unlink()
    readable = read_benchmark("got10k_val", root, tmp_path)
    assert list(readable.unreadable) == [damaged.name] and "groundtruth.txt" in readable.unreadable[damaged.name]
    [sequence] = readable.sequences
    assert sequence.name == kept.name
    assert np.array_equal(sequence.boxes, kept.boxes) and list(sequence.frames) == list(kept.frames)
    (root / "val" / "list.txt").unlink()
    with pytest.raises(ValueError, match=r"list\.txt"):
        read_benchmark("got10k_val", root, tmp_path)


def test_sequences_that_the_official_set_lacks_are_logged(tmp_path, caplog) -> None:
    """The sets of two years of VOT have equally many sequences."""
    for name in ("ants1", "mine"):
        write_boxes(
            tmp_path / "vot" / name / "groundtruth.txt", write_frames(tmp_path / "vot" / name, "%08d.jpg", 1, 3)
        )
    (tmp_path / "vot" / "list.txt").write_text("ants1\n")
    assert len(read_benchmark("vot18", tmp_path / "vot", tmp_path).sequences) == 1 and caplog.messages == []
    (tmp_path / "vot" / "list.txt").write_text("mine\nants1\n")
    assert len(read_benchmark("vot18", tmp_path / "vot", tmp_path).sequences) == 2
    assert caplog.messages == [f"{tmp_path / 'vot'}: 1 sequences are not of vot18, such as mine"]


def test_sequences_whose_results_would_meet_are_refused_also_where_one_cannot_be_read(tmp_path) -> None:
    for name in ("car", "car_time", "bus"):
        folder = tmp_path / "own" / name
        write_boxes(folder / "groundtruth.txt", write_frames(folder, "%04d.jpg", 1, 3))
    refused = "own: results of the sequences car and car_time would be written to the same files; rename car_time"
    with pytest.raises(ValueError, match=refused):
        read_benchmark("own", tmp_path / "own", tmp_path)
    (tmp_path / "own" / "bus" / "groundtruth.txt").write_text("damaged")
    with pytest.raises(ValueError, match=refused):
        read_benchmark("own", tmp_path / "own", tmp_path)
    (tmp_path / "own" / "car_time").rename(tmp_path / "own" / "car_at_night")
    readable = read_benchmark("own", tmp_path / "own", tmp_path)
    assert [sequence.name for sequence in readable.sequences] == ["car", "car_at_night"]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_no_two_sequences_of_a_benchmark_meet_even_where_a_is_a_large_a(name: str) -> None:
    known = known_names(name) or ()
    assert list(clashing_names(one.casefold() for one in known)) == []
