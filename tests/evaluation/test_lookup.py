"""Results in the form of every tool, written in miniature, come back as the same boxes; a fault is one line."""

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lib.data.types import Sequence
from lib.evaluation.metrics.protocols import PROTOCOLS, Annotation, MetricError
from lib.evaluation.metrics.scoring import annotation_of, score_set
from lib.evaluation.results.folder import ResultsFolder, Track, open_results
from lib.evaluation.results.lookup import find_result_sets, open_result_set
from lib.evaluation.results.result_set import MissingResultError, ResultSet

FRAMES = 4
GOLDEN = np.load(Path(__file__).parents[1] / "reference" / "metrics.golden.npz", allow_pickle=False)


def boxes_of(name: str, seed: int = 0) -> np.ndarray:
    """Boxes with three decimals, as the got10k toolkit keeps them, some of them outside the image."""
    generator = np.random.default_rng([seed, *name.encode()])
    return generator.normal((100, 80, 40, 30), (90, 70, 5, 5), (FRAMES, 4)).round(3)


def sequence(name: str, dataset: str = "uav") -> Sequence:
    return Sequence(name, dataset, (Path("1.jpg"),) * FRAMES, boxes_of(name), np.ones(FRAMES, bool))


def write(file: Path, rows: np.ndarray, layout: str, delimiter: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(file, rows, fmt=layout, delimiter=delimiter)


def as_integers(boxes: np.ndarray) -> np.ndarray:
    return boxes.astype(int)


def write_times(file: Path, columns: int = 1, layout: str = "%f") -> np.ndarray:
    times = np.random.default_rng(columns).uniform(0.01, 0.1, (FRAMES, columns)).round(6)
    write(file, times, layout, ",")
    return times


def pack(folder: Path, file: Path) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder).as_posix())
    return file


def message_of(call: Callable[..., object], *words: object) -> str:
    with pytest.raises(ValueError) as caught:
        call(*words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def check(results: ResultSet, names: list[str], kept: Callable[[np.ndarray], np.ndarray] = np.asarray) -> None:
    """All of ``names`` are found, and their boxes are those written."""
    assert sorted(results.names()) == sorted(names)
    for name in names:
        read = results.boxes(sequence(name))
        assert read.dtype == np.float64
        np.testing.assert_array_equal(read, kept(boxes_of(name)))


# Every tool's form


UAV = ["uav_bike1", "uav_bird1_1", "uav_uav1_2"]


def test_integers_of_pytracking_ostrack_and_grm(tmp_path: Path) -> None:
    """All benchmarks lie in one folder, times beside the boxes."""
    folder = tmp_path / "grm" / "vitb_256_ep300"
    for name in (*UAV, "nfs_Gymnastics", "airplane-1", "otb_Basketball"):
        write(folder / f"{name}.txt", as_integers(boxes_of(name)), "%d", "\t")
        times = write_times(folder / f"{name}_time.txt")
        write(folder / f"{name}_all_scores.txt", times, "%f", "\t")
    results = open_result_set(folder, "uav")
    check(results, UAV, as_integers)
    assert results.names() == tuple(UAV)
    assert results.label == "vitb_256_ep300"
    assert results.source == folder
    assert results.manifest is None
    assert results.producer == "others"
    assert results.mean_seconds() == pytest.approx(times[1:].mean())
    np.testing.assert_array_equal(results.seconds("uav_bike1"), times[:, 0])
    for benchmark, name in (("nfs", "nfs_Gymnastics"), ("lasot", "airplane-1"), ("otb", "Basketball")):
        assert open_result_set(folder, benchmark).names() == (name,)


@pytest.mark.parametrize("benchmark", ["trackingnet", "got10k_test"])
def test_the_subfolders_of_ostrack_and_grm(tmp_path: Path, benchmark: str) -> None:
    """Their trackingnet and got10k lie a folder deeper than the rest."""
    names = {"trackingnet": ["-Dz7OIf54b0_0", "0-6LB4FqxoE_0"], "got10k_test": ["GOT-10k_Test_000001"]}
    folder = tmp_path / "vitb_256_ep300"
    write(folder / "airplane-1.txt", boxes_of("airplane-1"), "%d", ",")
    for kind, members in names.items():
        for name in members:
            write(folder / kind.removesuffix("_test") / f"{name}.txt", as_integers(boxes_of(name)), "%d", ",")
            write_times(folder / kind.removesuffix("_test") / f"{name}_time.txt")
    results = open_result_set(folder, benchmark)
    check(results, names[benchmark], as_integers)
    assert results.label == "vitb_256_ep300"
    assert results.mean_seconds() is not None


def test_runs_of_pytracking_are_sets_of_their_own(tmp_path: Path) -> None:
    for run in range(3):
        write(tmp_path / "output/dimp/dimp50" / f"dimp50_{run:03d}" / "uav_bike1.txt", boxes_of("x", run), "%f", "\t")
    runs = find_result_sets(tmp_path / "output", "uav", "dimp50")
    assert [run.label for run in runs] == [f"dimp/dimp50/dimp50_{number:03d}" for number in range(3)]
    for number, run in enumerate(runs):
        np.testing.assert_array_equal(run.boxes(sequence("uav_bike1")), boxes_of("x", number))
    assert "results of uav lie in 3 folders" in message_of(open_result_set, tmp_path / "output", "uav")


def test_got10k_toolkit_with_repetitions(tmp_path: Path) -> None:
    folder, names = tmp_path / "GOT-10k" / "SiamFC", ["GOT-10k_Val_000001", "GOT-10k_Val_000002"]
    for name in names:
        for run in range(3):
            boxes = boxes_of(name, run)
            write(folder / name / f"{name}_{run + 1:03d}.txt", boxes, "%.3f", ",")
        times = write_times(folder / name / f"{name}_time.txt", columns=3, layout="%.8f")
    results = open_result_set(folder, "got10k_val")
    check(results, names)
    assert results.label == "SiamFC"
    runs = results.repetitions()
    assert [run.label for run in runs] == ["SiamFC_001", "SiamFC_002", "SiamFC_003"]
    for number, run in enumerate(runs):
        np.testing.assert_array_equal(run.boxes(sequence(names[1])), boxes_of(names[1], number))
        np.testing.assert_array_equal(run.seconds(names[1]), times[:, number])
        assert run.mean_seconds() == pytest.approx(times[1:, number].mean())
    (folder / names[0] / f"{names[0]}_002.txt").unlink()
    runs = open_result_set(folder, "got10k_val").repetitions()
    with pytest.raises(MissingResultError, match=f"no result of {names[0]}, repetition 2"):
        runs[1].boxes(sequence(names[0]))
    assert runs[1].seconds(names[0]) is None
    assert runs[1].mean_seconds() == pytest.approx(times[1:, 1].mean())
    np.testing.assert_array_equal(runs[2].boxes(sequence(names[0])), boxes_of(names[0], 2))


def test_the_mean_over_repetitions_is_the_toolkits_pooled_ao(tmp_path: Path) -> None:
    """got10k.py, report(): the overlaps of all repetitions together."""
    truth = [sequence(name, "got10k_val") for name in ("GOT-10k_Val_000001", "GOT-10k_Val_000002")]
    given = {"cover": np.full(FRAMES, 8), "meta": {"resolution": "(400, 400)"}}
    truth = [replace(one, boxes=np.abs(one.boxes), **given) for one in truth]
    for one in truth:
        for run in range(3):
            boxes = one.boxes + np.random.default_rng(run).normal(0, 8, (FRAMES, 4))
            write(tmp_path / one.name / f"{one.name}_{run + 1:03d}.txt", boxes, "%.3f", ",")
    runs = open_result_set(tmp_path, "got10k_val").repetitions()
    protocol = PROTOCOLS["got10k"]
    curves = [protocol.score(annotation_of(one, "got10k_val"), run.boxes(one)) for run in runs for one in truth]
    scores = [score_set(run, "got10k_val", truth, ["got10k"]).values("got10k")["AO"] for run in runs]
    assert len(set(scores)) == 3
    assert np.mean(scores) == pytest.approx(protocol.values(protocol.join(curves))["AO"], abs=1e-12)


def test_got10k_toolkit_on_other_sets(tmp_path: Path) -> None:
    folder = tmp_path / "UAV123" / "SiamFC"
    for name in UAV:
        written = name.removeprefix("uav_")
        write(folder / f"{written}.txt", boxes_of(name), "%.3f", ",")
        times = write_times(folder / "times" / f"{written}_time.txt", layout="%.8f")
    results = open_result_set(folder, "uav")
    check(results, UAV)
    assert results.label == "SiamFC"
    assert results.mean_seconds() == pytest.approx(times[1:].mean())


def test_pysot_writes_floats_as_str_does(tmp_path: Path) -> None:
    """Shortest decimals and exponents; no times."""
    written = {"uav_bike1": [[0.1, 1e-07, 1 / 3, 123456.789012345], [2e16, -3.5, 4.0, 5.0]]}
    file = tmp_path / "results" / "UAV123" / "transt" / "bike1.txt"
    file.parent.mkdir(parents=True)
    file.write_text("".join(",".join(str(value) for value in row) + "\n" for row in written["uav_bike1"]))
    assert "1e-07" in file.read_text()
    results = open_result_set(tmp_path / "results", "uav")
    np.testing.assert_array_equal(results.boxes(sequence("uav_bike1")), written["uav_bike1"])
    assert results.label == "transt"
    assert results.mean_seconds() is None
    assert results.seconds("uav_bike1") is results.seconds("no such") is None


def test_archives_made_for_the_servers(tmp_path: Path) -> None:
    names = ["GOT-10k_Test_000001", "GOT-10k_Test_000180"]
    for name in names:
        write(tmp_path / "got" / name / f"{name}_001.txt", as_integers(boxes_of(name)), "%d", ",")
        times = write_times(tmp_path / "got" / name / f"{name}_time.txt")
    results = open_result_set(pack(tmp_path / "got", tmp_path / "grm_got10k.zip"), "got10k_test")
    check(results, names, as_integers)
    assert results.label == "grm_got10k"
    assert results.mean_seconds() == pytest.approx(times[1:].mean())
    names = ["-Dz7OIf54b0_0", "0-6LB4FqxoE_0"]
    for name in names:
        write(tmp_path / "net" / f"{name}.txt", boxes_of(name).round(2), "%.2f", ",")
    results = open_result_set(pack(tmp_path / "net", tmp_path / "grm_net.zip"), "trackingnet")
    check(results, names, lambda boxes: boxes.round(2))
    assert results.label == "grm_net"


@pytest.fixture
def raw_zip(tmp_path: Path) -> Path:
    """As GRM's authors publish raw results: a folder in a zip, in it the benchmarks together."""
    for model in ("vitb_256_ep300", "vitl_320_ep300"):
        for name in (*UAV, "airplane-1"):
            boxes = as_integers(boxes_of(name, len(model) * model.count("l")))
            write(tmp_path / "made" / "GRM_raw_results" / model / f"{name}.txt", boxes, "%d", ",")
    (tmp_path / "made" / "__MACOSX").mkdir()
    (tmp_path / "made" / "__MACOSX" / "._uav_bike1.txt").write_bytes(b"\0\5\x16\7")
    (tmp_path / "output").mkdir()
    return pack(tmp_path / "made", tmp_path / "output" / "GRM_raw_results.zip")


def test_a_zip_of_raw_results_with_nested_folders(raw_zip: Path) -> None:
    message = message_of(open_result_set, raw_zip, "uav")
    inner = f"{raw_zip}/GRM_raw_results/vitb_256_ep300"
    assert message.endswith(f"results of uav lie in 2 folders; name one, such as {inner}")
    results = open_result_set(Path(inner), "uav")
    check(results, UAV, as_integers)
    assert results.source == Path(inner)
    assert results.label == "vitb_256_ep300"
    assert "no result of a sequence of uav" in message_of(open_result_set, raw_zip / "no such", "uav")


def test_a_zip_is_found_packed_and_unpacked(raw_zip: Path, caplog: pytest.LogCaptureFixture) -> None:
    output = raw_zip.parent
    packed = find_result_sets(output, "uav", "GRM_raw_results")
    labels = ["GRM_raw_results/GRM_raw_results/vitb_256_ep300", "GRM_raw_results/GRM_raw_results/vitl_320_ep300"]
    assert [one.label for one in packed] == labels
    check(packed[0], UAV, as_integers)
    with zipfile.ZipFile(raw_zip) as archive:
        archive.extractall(output)
    with caplog.at_level("INFO"):
        unpacked = find_result_sets(output, "uav", "GRM_raw_results")
    assert "GRM_raw_results.zip: not looked into, as it is unpacked beside" in caplog.text
    assert [one.label for one in unpacked] == ["GRM_raw_results/vitb_256_ep300", "GRM_raw_results/vitl_320_ep300"]
    assert [one.source for one in unpacked] == [output / one.label for one in unpacked]
    check(unpacked[0], UAV, as_integers)


# Ours


LAP = Sequence("lap", "own", ("x",) * FRAMES, boxes_of("lap"), np.ones(FRAMES, bool))


def track_of_lap() -> Track:
    generator = np.random.default_rng(0)
    boxes = LAP.boxes + generator.random((FRAMES, 4)) / 3
    boxes[0] = LAP.boxes[0]
    return Track(boxes, *generator.random((3, FRAMES)))


def write_ours(
    output: Path, experiment: str = "grm_toy", label: str = "last", value: int = 1, benchmark: str = "own"
) -> ResultsFolder:
    """A sequence as our own runner keeps it."""
    folder = open_results(output, experiment, benchmark, None, {"value": value}, "cpu", label)
    folder.write(LAP, track_of_lap())
    return folder


def test_ours_come_back_bit_for_bit_with_their_manifest(tmp_path: Path) -> None:
    folder = write_ours(tmp_path)
    folder.write_legacy_int(LAP)
    results = open_result_set(folder.path, "own")
    assert (results.label, results.producer) == (folder.path.name, "tracking-lib")
    assert results.manifest == folder.manifest()
    assert results.names() == ("lap",)
    np.testing.assert_array_equal(results.boxes(sequence("lap", "own")), track_of_lap().boxes)
    np.testing.assert_array_equal(results.seconds("lap"), track_of_lap().seconds)
    assert results.mean_seconds() == pytest.approx(track_of_lap().seconds[1:].mean())
    assert results.repetitions() == (results,)
    for end in ("_scores", "_time", "_network_time"):  # of a sequence whose boxes are not written yet
        (folder.path / f"pit{end}.txt").write_text("1\n")
    assert open_result_set(folder.path, "own").names() == ("lap",)
    packed = open_result_set(pack(folder.path, tmp_path / "ours.zip"), "own")
    assert (packed.manifest, packed.label) == (folder.manifest(), "ours")
    np.testing.assert_array_equal(packed.boxes(sequence("lap", "own")), track_of_lap().boxes)
    unknown = replace(sequence("lap", "own"), boxes=np.empty((0, 4)))
    np.testing.assert_array_equal(results.boxes(unknown), track_of_lap().boxes)
    with pytest.raises(MissingResultError):
        results.boxes(sequence("absent", "own"))
    other = replace(sequence("lap", "own"), boxes=boxes_of("lap") + 1)
    assert "begins elsewhere" in message_of(results.boxes, other)
    for name in ("lap", "lap_time"):  # all of ours end their last line
        file = folder.path / f"{name}.txt"
        file.write_text(file.read_text()[:-2])
    assert f"lap.txt: line {FRAMES} is " in (message := message_of(results.boxes, sequence("lap", "own")))
    assert ", cut short; track the sequence again" in message
    assert "lap_time.txt: " in message_of(results.seconds, "lap")
    assert "no result of a sequence of lasot" in message_of(open_result_set, folder.path, "lasot")


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    folder = write_ours(tmp_path)
    (folder.path / "manifest.json").write_text("{")
    for call in (
        lambda: open_result_set(folder.path, "own"),
        lambda: find_result_sets(tmp_path, "own", "grm_toy"),
    ):
        assert message_of(call).startswith(f"{folder.path / 'manifest.json'}: cannot be read")
    (folder.path / "manifest.json").write_text(json.dumps({"another": "program"}))
    assert open_result_set(folder.path, "own").manifest is None


# Names of sequences


def test_two_spellings_of_one_sequence_are_an_error_of_that_sequence(tmp_path: Path) -> None:
    for written in ("Jogging_1", "Jogging-1", "Jogging_2"):
        write(tmp_path / f"{written}.txt", boxes_of("Jogging"), "%.3f", ",")
    results = open_result_set(tmp_path, "otb")
    message = message_of(results.boxes, sequence("Jogging_1"))
    assert re.search(r"Jogging_1 has two results, .*/Jogging-1.txt and .*/Jogging_1.txt", message)
    assert len(results.boxes(sequence("Jogging_2"))) == FRAMES
    scores = score_set(results, "otb", [sequence("Jogging_1", "otb"), sequence("Jogging_2", "otb")])
    assert scores.errors("got10k-otb") == {"Jogging_1": message}


def test_sequences_of_otb_and_tc128_in_one_folder_are_distinguished(tmp_path: Path) -> None:
    for written in ("Basketball", "tpl_Basketball", "tpl_Yo_yos_ce3"):
        write(tmp_path / f"{written}.txt", boxes_of(written), "%.3f", "\t")
    check(open_result_set(tmp_path, "tc128"), ["tpl_Basketball", "tpl_Yo_yos_ce3"])
    check(open_result_set(tmp_path, "otb"), ["Basketball"])


def test_the_same_sequence_in_a_nested_folder_is_an_error(tmp_path: Path) -> None:
    for folder in (tmp_path / "raw" / "grm", tmp_path / "raw" / "grm" / "old"):
        write(folder / "bike1.txt", boxes_of("x"), "%.3f", ",")
    assert "lie in 2 folders" in message_of(open_result_set, tmp_path / "raw" / "grm", "uav")
    both = f"uav_bike1 has two results, in {tmp_path}/raw/grm and in {tmp_path}/raw/grm/old; move"
    assert both in message_of(find_result_sets, tmp_path, "uav", "grm")
    assert find_result_sets(tmp_path, "uav", "old")[0].label == "raw/grm/old"


# Bad input


CONTENTS = {  # the rule for lines of numbers is tested in tests/data/test_texts.py
    "empty": (b"", "is empty"),
    "cut inside the last number of too few rows": (b"1,2,3,44\n1,2,3,4", "line 2 is '1,2,3,4', cut short"),
    "cut inside the last number of all rows": (b"1.0,2.0,3.0,4.0\n" * 3 + b"1.0,2.0,3.0,4", "line 4 is '1.0,2.0,3.0"),
    "bytes": (b"\xff1\x002\x00", "is no text in UTF-8 (invalid start byte at byte 0); save it"),
}


@pytest.mark.parametrize(("content", "reason"), CONTENTS.values(), ids=CONTENTS)
def test_a_file_of_something_else_is_named_with_its_line(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "bike1.txt").write_bytes(content)
    write(tmp_path / "boat1.txt", boxes_of("x"), "%.3f", ",")
    for place in (tmp_path, pack(tmp_path, tmp_path / "raw.zip")):
        results = open_result_set(place, "uav")
        message = message_of(results.boxes, sequence("uav_bike1"))
        assert message.startswith(f"{place / 'bike1.txt'}: ")
        assert reason in message
        assert len(results.boxes(sequence("uav_boat1"))) == FRAMES


def test_the_last_of_all_lines_may_lack_its_end(tmp_path: Path) -> None:
    (tmp_path / "bike1.txt").write_bytes(b"\xef\xbb\xbf1,2,3,4\r\n5, 6, 7, 8")
    boxes = open_result_set(tmp_path, "uav").boxes(replace(sequence("uav_bike1"), boxes=np.ones((2, 4))))
    np.testing.assert_array_equal(boxes, [[1, 2, 3, 4], [5, 6, 7, 8]])


def test_rows_that_are_not_boxes_are_kept_for_the_protocols(tmp_path: Path) -> None:
    """NaN, negative and zero sizes; too few rows or too many."""
    (tmp_path / "bike1.txt").write_text("nan,1,-3,0\n" * 7)
    (tmp_path / "boat1.txt").write_text("1,2,3,4\n")
    results = open_result_set(tmp_path, "uav")
    np.testing.assert_array_equal(results.boxes(sequence("uav_bike1")), [[np.nan, 1, -3, 0]] * 7)
    assert len(results.boxes(sequence("uav_boat1"))) == 1


def test_damaged_times_cost_the_speed_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("bike1", "boat1"):
        write(tmp_path / f"{name}.txt", boxes_of("x"), "%.3f", ",")
        write_times(tmp_path / f"{name}_time.txt")
    (tmp_path / "boat1_time.txt").write_text("0.1\nfast\n")
    results = open_result_set(tmp_path, "uav")
    assert results.mean_seconds() is None
    assert "boat1_time.txt: line 2 is 'fast', not a number" in caplog.text
    assert len(results.boxes(sequence("uav_boat1"))) == FRAMES
    (tmp_path / "boat1_time.txt").write_text("9\nnan\n0\n-1\n2\n")
    (tmp_path / "bike1_time.txt").write_text("")
    assert results.mean_seconds() == 2


def test_places_without_results_are_named(tmp_path: Path) -> None:
    assert "no such folder or zip" in message_of(open_result_set, tmp_path / "absent", "uav")
    assert "did you mean uav" in message_of(open_result_set, tmp_path, "uavv")
    write(tmp_path / "airplane-1.txt", boxes_of("x"), "%d", ",")
    assert "no result of a sequence of uav" in message_of(open_result_set, tmp_path, "uav")


def test_a_damaged_zip_fails_only_where_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "raw.zip").write_text("no zip")
    for call in (open_result_set, lambda path, name: find_result_sets(path.parent, name, "raw")):
        assert "not a whole zip archive" in message_of(call, tmp_path / "raw.zip", "uav")
    write(tmp_path / "good" / "bike1.txt", boxes_of("x"), "%d", ",")
    assert len(find_result_sets(tmp_path, "uav", "good")) == 1


# Finding


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ours in three folders, raw results of two trackers, and what else lies in an output folder."""
    folder = tmp_path_factory.mktemp("found") / "output"
    for experiment, label, value in (("grm_toy", "last", 1), ("grm_toy", "last", 2), ("ostrack_toy", "epoch_1", 1)):
        write_ours(folder, experiment, label, value)
    write_ours(folder, "ostrack_toy", benchmark="lasot")
    for place in ("raw/GRM/vitb", "raw/TransT/vitb", "raw/TransT/got10k/n2"):
        write(folder / place / "lap.txt", boxes_of("lap"), "%d", ",")
    (folder / "grm_toy" / "checkpoints").mkdir()
    (folder / "grm_toy" / "checkpoints" / "notes.txt").write_text("no boxes")
    return folder


WANTED = {
    "grm_toy": ["grm_toy/last-", "grm_toy/last-"],
    "ostrack_toy/epoch_1": ["ostrack_toy/epoch_1-"],
    "*_toy/epoch_[0-9]": ["ostrack_toy/epoch_1-"],
    "GRM": ["raw/GRM/vitb"],
    "GRM/vitb": ["raw/GRM/vitb"],
    "raw/*/vitb": ["raw/GRM/vitb", "raw/TransT/vitb"],
    "vit?": ["raw/GRM/vitb", "raw/TransT/vitb"],
    "raw/TransT/n2": ["raw/TransT/n2"],
    "epoch_1-*": ["ostrack_toy/epoch_1-"],
}


def test_results_are_found_by_the_names_of_their_folders(output: Path) -> None:
    for name, labels in WANTED.items():
        found = [one.label for one in find_result_sets(output, "own", name)]
        assert len(set(found)) == len(labels), name
        assert all(map(str.startswith, found, labels)), name


def test_results_are_found_by_path(output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = next((output / "ostrack_toy" / "results" / "own").iterdir())
    for name in (str(ours), str(output / "ostrack_toy"), "output/ostrack_toy", "output/ostr*_toy", ours.name):
        monkeypatch.chdir(output.parent)
        assert [one.source.resolve() for one in find_result_sets(output, "own", name)] == [ours], name
    labels = [one.label for one in find_result_sets(output, "own", "raw")]
    assert labels == ["raw/GRM/vitb", "raw/TransT/n2", "raw/TransT/vitb"]
    outside = tmp_path / "elsewhere" / "SiamFC"
    write(outside / "lap.txt", boxes_of("lap"), "%.3f", ",")
    assert [one.label for one in find_result_sets(output, "own", str(outside))] == ["SiamFC"]
    packed = pack(outside.parent, tmp_path / "outside.zip")
    for place in (packed, packed / "SiamFC"):
        assert [one.label for one in find_result_sets(output, "own", str(place))] == ["SiamFC"]


def test_an_unknown_name_is_reported_with_the_nearest(output: Path, tmp_path: Path) -> None:
    message = message_of(find_result_sets, output, "own", "grm_tou")
    assert message.startswith("grm_tou: no results on own have that name")
    assert message.endswith("; did you mean grm_toy?")
    assert "known: grm_toy/results/own/last-" in message_of(find_result_sets, output, "own", "%%%")
    message = message_of(find_result_sets, output, "uav", "grm_toy")
    assert "there are no results on uav" in message
    assert "tracking/test.py --dataset uav" in message
    assert "no results on uav" in message_of(find_result_sets, tmp_path / "no output", "uav", "grm_toy")


def test_a_link_that_leads_back_is_followed_once(output: Path, tmp_path: Path) -> None:
    output = shutil.copytree(output, tmp_path / "output")
    (output / "raw" / "again").symlink_to(output)
    (output / "raw" / "broken").symlink_to(output / "absent")
    assert [one.label for one in find_result_sets(output, "own", "GRM")] == ["raw/GRM/vitb"]


# Truncation


@pytest.mark.parametrize("protocol", ["ostrack", "grm"])
@pytest.mark.parametrize("benchmark", ["lasot", "uav", "otb"])
def test_truncated_boxes_score_as_recorded(tmp_path: Path, protocol: str, benchmark: str) -> None:
    """The recorded boxes through the field's own writer, read again; in percent points of float32 toolkits."""
    recorded = dict(zip(GOLDEN["names"].tolist(), GOLDEN[f"pt_int.{protocol}.{benchmark}.scores"], strict=True))
    ours, moved = {}, {}
    for name in recorded:
        predicted = GOLDEN[f"seq.{name}.pred"]
        if np.isnan(predicted).any():
            continue  # it has no integer
        write(tmp_path / "uav_bike1.txt", predicted.astype(int), "%d", "\t")
        flags = (GOLDEN[f"seq.{name}.full_occlusion"] | GOLDEN[f"seq.{name}.out_of_view"]).astype(bool)
        truth = Annotation(benchmark, GOLDEN[f"seq.{name}.gt"], flags if benchmark == "lasot" else None)
        read = open_result_set(tmp_path, "uav").boxes(sequence("uav_bike1"))
        np.testing.assert_array_equal(read, np.trunc(predicted))
        try:
            values = PROTOCOLS[protocol].values(PROTOCOLS[protocol].score(truth, read))
        except MetricError:
            assert np.isnan(recorded[name]).all(), name
            continue
        ours[name] = [100 * values[key] for key in ("AUC", "OP50", "OP75", "P", "Pnorm")]
        np.testing.assert_allclose(ours[name], recorded[name][:5], rtol=0, atol=1e-4, err_msg=name)
        floats = PROTOCOLS[protocol].values(PROTOCOLS[protocol].score(truth, predicted))
        moved[name] = 100 * (values["AUC"] - floats["AUC"])
    whole = GOLDEN[f"pt_int.{protocol}.{benchmark}.overall.scores"][:5]
    np.testing.assert_allclose(np.mean(list(ours.values()), axis=0), whole, rtol=0, atol=1e-4)
    assert moved["tiny"] == pytest.approx(48.254 - 60.714, abs=1e-2)
    assert moved["good"] == pytest.approx(83.929 - 84.563, abs=1e-2)
