"""Which files are whose, told by their names alone; and how a folder is looked through."""

import os
from pathlib import Path

import pytest

from lib.evaluation.results import result_files
from lib.evaluation.results.result_files import Folder, find_sets, folder_label, producer_of


class Names:
    """A tree of files with the same content."""

    def __init__(self, *names: str, content: bytes = b"1,2,3,4\n") -> None:
        self._names, self._content = names, content

    def names(self) -> tuple[str, ...]:
        return self._names

    def read(self, name: str) -> bytes:
        assert name in self._names
        return self._content


def sets_of(benchmark: str, *names: str) -> dict[str, dict[str, list[tuple[str, int, str]]]]:
    return {
        one.root: {
            sequence: [(file.name, file.repetition, file.times) for file in files]
            for sequence, files in one.files.items()
        }
        for one in find_sets(Names(*names), benchmark, Path("place"))
    }


def test_boxes_times_and_repetitions_are_told_apart() -> None:
    assert sets_of("uav", "a/bike1.txt", "a/bike1_time.txt", "a/times/boat1_time.txt", "a/boat1.TXT", "b/x.txt") == {
        "a": {
            "uav_bike1": [("a/bike1.txt", 1, "a/bike1_time.txt")],
            "uav_boat1": [("a/boat1.TXT", 1, "a/times/boat1_time.txt")],
        }
    }
    name = "GOT-10k_Val_000001"
    times = f"{name}/{name}_time.txt"
    assert sets_of("got10k_val", times, f"{name}/{name}_003.txt", f"{name}/{name}_001.txt") == {
        "": {name: [(f"{name}/{name}_003.txt", 3, times), (f"{name}/{name}_001.txt", 1, times)]}
    }


def test_of_a_set_without_a_list_all_are_sequences_but_what_lies_beside_one() -> None:
    names = ["d/lap.txt", "d/lap_scores.txt", "d/lap_network_time.txt", "d/lap_time_scores.txt", "d/pit_time.txt"]
    assert list(sets_of("own", *names)["d"]) == ["lap", "lap_time_scores", "pit_time"]
    assert sets_of("own", *(f"{folder}/d/lap.txt" for folder in ("__MACOSX", ".git", "legacy_int", "x/.y"))) == {}


def test_only_sets_with_a_sequence_of_the_benchmark_count() -> None:
    assert sets_of("uav", "readme.txt", "nfs/nfs_car.txt", "both/uav_car1_s.txt", "both/nfs_car.txt").keys() == {"both"}


@pytest.mark.parametrize(("content", "producer"), [
    (b"1\t2\t3\t4\n5\t6\t7\t8\n", "pytracking, OSTrack (tabs, integers)"),
    (b"1.5\t2\t3\t4\n", "pytracking's family (tabs)"),
    (b"1,2,3,4\n5.5,6,7,8\n", "GRM (commas, integers)"),
    (b"1,2,3,4e5\n", "pysot, got10k toolkit (commas)"),
    (b"1 2 3 4\n", "unknown (blanks)"),
    (b"", "unknown"),
])  # fmt: skip
def test_the_producer_is_told_by_how_numbers_are_parted(content: bytes, producer: str) -> None:
    tree = Names("bike1.txt", content=content)
    [found] = find_sets(tree, "uav", Path("place"))
    assert producer_of(found, "uav") == producer
    [found] = find_sets(tree, "uav", Path("place.zip"))
    assert producer_of(found, "uav") == f"{producer}, zipped"


def test_a_label_is_the_trackers_folder_and_not_the_datasets(tmp_path: Path) -> None:
    labels = {"GRM/vitb/got10k": "vitb", "OTB100/transt": "transt", "raw/GRM.zip": "GRM", "SiamFC/UAV123": "SiamFC"}
    assert {place: folder_label(tmp_path / place) for place in labels} == labels


def test_a_folder_is_walked_in_order_and_no_deeper_than_it_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a/b/c/4.txt", "a/2.txt", "a/picture.jpg", "b/manifest.json", "b/3.zip", ".hidden/5.txt", "1.txt"]
    for name in [*names, "checkpoints/6.txt"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    folder = Folder(tmp_path)
    assert folder.names() == ("1.txt", "a/2.txt", "a/b/c/4.txt", "b/3.zip", "b/manifest.json")
    assert folder.whole
    monkeypatch.setattr(result_files, "DEPTH", 2)
    folder = Folder(tmp_path)
    assert folder.names() == ("1.txt", "a/2.txt", "b/3.zip", "b/manifest.json")
    assert not folder.whole


def test_a_folder_that_cannot_be_listed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.txt").touch()
    listing = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert Folder(tmp_path).names() == ("a.txt",)
    assert "closed: cannot be listed (Permission denied); results in it are not found" in caplog.text
    with pytest.raises(ValueError, match="closed: cannot be listed"):
        Folder(tmp_path / "closed")
