"""Which tracker and sequence a file belongs to, by its name alone; and how a folder is walked."""

import os
from pathlib import Path

import pytest

from lib.evaluation.results.result_files import folder_files
from lib.evaluation.results.result_set import find_sets


def sets_of(benchmark: str, *names: str) -> dict[str, dict[str, list[tuple[str, int, str]]]]:
    return {
        one.root: {
            sequence: [(file.name, file.repetition, file.times) for file in files]
            for sequence, files in one.files.items()
        }
        for one in find_sets(dict.fromkeys(names), benchmark, Path("place"))
    }


def test_boxes_times_and_repetitions_are_distinguished() -> None:
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


def test_without_a_list_of_names_every_text_is_a_sequence_except_side_files() -> None:
    names = ["d/lap.txt", "d/lap_scores.txt", "d/lap_network_time.txt", "d/lap_time_scores.txt", "d/pit_time.txt"]
    assert list(sets_of("own", *names)["d"]) == ["lap", "lap_time_scores", "pit_time"]
    assert sets_of("own", *(f"{folder}/d/lap.txt" for folder in ("__MACOSX", ".git", "legacy_int", "x/.y"))) == {}


def test_only_sets_with_a_sequence_of_the_benchmark_count() -> None:
    assert sets_of("uav", "readme.txt", "nfs/nfs_car.txt", "both/uav_car1_s.txt", "both/nfs_car.txt").keys() == {"both"}


def test_a_folder_is_walked_in_order(tmp_path: Path) -> None:
    names = ["a/b/c/4.txt", "a/2.txt", "a/picture.jpg", "b/manifest.json", "b/3.zip", ".hidden/5.txt", "1.txt"]
    for name in [*names, "checkpoints/6.txt"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert list(folder_files(tmp_path)) == ["1.txt", "a/2.txt", "a/b/c/4.txt", "b/3.zip", "b/manifest.json"]


def test_a_folder_that_cannot_be_listed_is_reported(
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
    assert list(folder_files(tmp_path)) == ["a.txt"]
    assert "closed: cannot be listed (Permission denied); results in it are not found" in caplog.text
    with pytest.raises(ValueError, match="closed: cannot be listed"):
        folder_files(tmp_path / "closed")
