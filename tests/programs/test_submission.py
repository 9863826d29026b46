"""Archives for the servers: what is in one that is made, what keeps one from being made, and what is wrong with those
of others."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from miniatures import moving_boxes, write_got10k, write_trackingnet

from lib.config.paths import Paths
from lib.evaluation.results.lookup import open_result_set
from lib.evaluation.results.sequence_names import known_names
from lib.programs.submission import (
    Check,
    Expected,
    check_files,
    check_submission,
    expected_sequences,
    make_submission,
)

LENGTHS = {"GOT-10k_Test_000001": 3, "GOT-10k_Test_000002": 4}
FIRST, SECOND = LENGTHS
VIDEOS = {"-Dz7OIf54b0_0": 3, "0-6LB4FqxoE_0": 2}


def expected(lengths: dict[str, int]) -> dict[str, Expected]:
    return {name: Expected(length, moving_boxes(1)[0]) for name, length in lengths.items()}


def boxes_of(length: int) -> np.ndarray:
    """Boxes with more digits than an archive keeps; the first as given."""
    boxes = moving_boxes(length)
    boxes[1:] += np.pi / 10
    return boxes


def text_of(rows: np.ndarray, number: str = "%.3f", separator: str = ",") -> str:
    return "".join(separator.join(number % value for value in row) + "\n" for row in rows)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results of two sequences as GOT-10k's toolkit leaves them."""
    for name, length in LENGTHS.items():
        folder = tmp_path / "results" / "GOT-10k" / "some" / name
        folder.mkdir(parents=True)
        (folder / f"{name}_001.txt").write_text(text_of(boxes_of(length), "%.6f"))
        (folder / f"{name}_time.txt").write_text(text_of(np.full((length, 1), 1 / 3), "%.8f"))
    return tmp_path / "results" / "GOT-10k" / "some"


def state(folder: Path) -> dict[str, tuple]:
    """Every file and folder below with its content and times."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.is_dir() or path.read_bytes())
        for path in [folder, *folder.rglob("*")]
    }


def make(results: Path, file: Path) -> Check:
    return make_submission(open_result_set(results, "got10k_test"), expected(LENGTHS), file)


def kinds(check: Check) -> list[str]:
    return [finding.kind for finding in check.findings]


# What is expected


def test_the_official_sequences_are_expected(tmp_path):
    paths = Paths(cache=tmp_path)
    names = list(expected_sequences("got10k_test", paths))
    assert (len(names), names[0], names[-1]) == (180, "GOT-10k_Test_000001", "GOT-10k_Test_000180")
    names = list(expected_sequences("trackingnet", paths))
    assert (len(names), names[0]) == (511, "-Dz7OIf54b0_0")
    with pytest.raises(ValueError, match="got10k_val: no server takes archives of it; .* got10k_test and trackingnet"):
        expected_sequences("got10k_val", paths)


def test_frames_and_first_boxes_come_from_the_disk(tmp_path):
    paths = Paths(data={"got10k": tmp_path / "got10k", "trackingnet": tmp_path / "tn"}, cache=tmp_path / "cache")
    write_got10k(tmp_path / "got10k", "test", [3, 5], first_box_only=True)
    known = expected_sequences("got10k_test", paths)
    assert list(known) == list(known_names("got10k_test"))
    assert [known[name].frames for name in list(known)[:3]] == [3, 5, None]
    assert np.array_equal(known[SECOND].first, moving_boxes(1)[0])
    # A video that is no official one is not expected by the server.
    write_trackingnet(tmp_path / "tn", {"TEST": {"-Dz7OIf54b0_0": 4, "mine": 2}})
    known = expected_sequences("trackingnet", paths)
    assert len(known) == 511
    assert known["-Dz7OIf54b0_0"].frames == 4


def test_a_lost_frame_keeps_a_submission_from_being_sent(tmp_path):
    paths = Paths(data={"got10k": tmp_path / "got10k"}, cache=tmp_path / "cache")
    write_got10k(tmp_path / "got10k", "test", [3, 5], first_box_only=True)
    (tmp_path / "got10k" / "test" / SECOND / "00000003.jpg").unlink()
    known = expected_sequences("got10k_test", paths)
    assert (known[FIRST].frames, known[SECOND].frames) == (3, None)
    files = {f"{SECOND}/{SECOND}_001.txt": b"1,2,3,4\n" * 4, f"{SECOND}/{SECOND}_time.txt": b"1\n" * 4}
    check = check_files("got10k_test", "x", files, {SECOND: known[SECOND]})
    [finding] = check.findings
    assert not check.good and finding[:2] == ("faulty sequence", SECOND)
    assert "00000004.jpg follows 00000002.jpg: 1 frame(s) of it are lost" in check.text()


def test_without_the_dataset_the_names_alone_are_known(tmp_path, caplog):
    known = expected_sequences("trackingnet", Paths(cache=tmp_path))
    assert set(known) == set(known_names("trackingnet"))
    assert set(known.values()) == {Expected()}
    assert "rows cannot be compared with frames: data.trackingnet: not set" in caplog.text
    text = check_files("trackingnet", "x", {}, known).text()
    assert "frames not on disk    511  -Dz7OIf54b0_0; " in text


# Making one


def test_the_archive_of_got10k_holds_boxes_and_times_as_the_server_wants_them(results, tmp_path):
    file = tmp_path / "new" / "some.zip"
    before = state(results)
    check = make(results, file)
    assert check.good and check.findings == ()
    assert check.rows == sum(LENGTHS.values())
    assert state(results) == before, "raw results stay as they are"
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == [f"{name}/{name}_{end}.txt" for name in LENGTHS for end in ("001", "time")]
        for name, length in LENGTHS.items():
            rows = archive.read(f"{name}/{name}_001.txt").decode()
            kept = np.loadtxt(io.StringIO(rows), delimiter=",")
            assert np.abs(kept - boxes_of(length)).max() <= 0.5e-4 + 1e-6
            assert rows.splitlines()[1] == ",".join(f"{value:.4f}" for value in boxes_of(length)[1])
            assert archive.read(f"{name}/{name}_time.txt").decode() == "0.33333333\n" * length
    assert check_submission(file, "got10k_test", expected(LENGTHS)).findings == ()
    assert list(file.parent.iterdir()) == [file]


def test_the_same_results_are_the_same_bytes(results, tmp_path):
    make(results, tmp_path / "one.zip")
    for path in results.rglob("*_001.txt"):
        path.write_text(path.read_text().replace(",", "\t"))  # later, and in another form
    make(results, tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def boxes_file(results: Path) -> Path:
    return results / FIRST / f"{FIRST}_001.txt"


@pytest.mark.parametrize(("ends", "content", "named"), [
    ("", None, "missing sequence"),
    ("_time", None, "_time.txt"),
    ("_time", "0.1\n", "1 times for 3 frames"),
    ("_001", "1,2,3,4\n", "1 for 3 frames"),
    ("_001", "1,2,3,4\n1,inf,3,4\n1,2,3,4\n", "NaN or infinite"),
    ("_001", "", "is empty"),
])  # fmt: skip
def test_what_keeps_an_archive_from_being_written(results, tmp_path, ends, content, named):
    for file in (results / FIRST).glob(f"*{ends}.txt"):
        file.unlink() if content is None else file.write_text(content)
    before = state(tmp_path)
    check = make(results, tmp_path / "some.zip")
    assert not check.good
    line = next(line for line in check.text().splitlines() if line.startswith("ERROR"))
    assert FIRST in line and named in line
    assert SECOND not in check.text()
    assert check.text().splitlines()[-1].startswith("not fit to be sent: ")
    assert state(tmp_path) == before, "nothing is written"


def test_a_box_without_a_size_and_another_first_box_are_warnings(results, tmp_path):
    rows = boxes_of(3)
    rows[0, 0] += 1.5
    rows[1, 2], rows[2, 3] = 0, -4
    boxes_file(results).write_text(text_of(rows))
    check = make(results, tmp_path / "some.zip")
    assert check.good
    assert sorted(kinds(check)) == ["box without a size", "first row is not the given box"]
    assert "2, line 2 the first" in check.text()
    assert "21.5,12,24,18 instead of 20,12,24,18" in check.text()
    assert check.text().splitlines()[-1] == "fit to be sent"
    assert (tmp_path / "some.zip").exists()
    # Truncated to integers, as GRM and OSTrack do, it is the given one.
    rows[0] = moving_boxes(1)[0] - [0, 0, 0.9, 0.5]
    boxes_file(results).write_text(text_of(rows))
    assert kinds(make(results, tmp_path / "other.zip")) == ["box without a size"]


def test_all_runs_of_a_tracker_that_was_run_several_times(results, tmp_path):
    for name, length in LENGTHS.items():
        for run in (2, 3) if name == FIRST else (2,):
            (results / name / f"{name}_{run:03d}.txt").write_text(text_of(boxes_of(length) + [0, 0, run, 0]))
        columns = np.full((length, 3 if name == FIRST else 2), 0.1) + [0, 0.1, 0.2][: 3 if name == FIRST else 2]
        (results / name / f"{name}_time.txt").write_text(text_of(columns, "%.8f"))
    made = make(results, tmp_path / "some.zip")
    assert kinds(made) == ["first row is not the given box"] * 3
    with zipfile.ZipFile(tmp_path / "some.zip") as archive:
        assert len(archive.namelist()) == 4 + 3
        third = np.loadtxt(io.BytesIO(archive.read(f"{FIRST}/{FIRST}_003.txt")), delimiter=",")
        assert np.abs(third - boxes_of(3) - [0, 0, 3, 0]).max() < 1e-3
        seconds = archive.read(f"{FIRST}/{FIRST}_time.txt").decode()
        assert seconds == "0.10000000,0.20000000,0.30000000\n" * 3


def test_where_an_archive_may_not_lie(results, tmp_path):
    (tmp_path / "there.zip").write_bytes(b"kept")
    for file, reason in (
        (tmp_path / "there.zip", "is there already"),
        (tmp_path / "some.tar", r"is not a \.zip"),
        (results / "some.zip", "lies among the results"),
    ):
        with pytest.raises(ValueError, match=f"^--out .*: {reason}"):
            make(results, file)
    assert (tmp_path / "there.zip").read_bytes() == b"kept"


# Archives of others


def sound(benchmark: str) -> dict[str, str | bytes]:
    """The files of a good archive as other programs write them: whole numbers for TrackingNet, three decimals else."""
    if benchmark == "trackingnet":
        return {f"{name}.txt": text_of(boxes_of(length), "%d") for name, length in VIDEOS.items()}
    files = {}
    for name, length in LENGTHS.items():
        files[f"{name}/"] = ""
        files[f"{name}/{name}_001.txt"] = text_of(boxes_of(length))
        files[f"{name}/{name}_time.txt"] = text_of(np.full((length, 1), 0.1), "%.8f")
    return files


def check(tmp_path: Path, benchmark: str, files: dict[str, str | bytes]) -> Check:
    with zipfile.ZipFile(tmp_path / "given.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    lengths = LENGTHS if benchmark == "got10k_test" else VIDEOS
    return check_submission(tmp_path / "given.zip", benchmark, expected(lengths))


GOT, TIMES, VIDEO = f"{FIRST}/{FIRST}_001.txt", f"{FIRST}/{FIRST}_time.txt", "-Dz7OIf54b0_0.txt"


@pytest.mark.parametrize("benchmark", ["got10k_test", "trackingnet"])
def test_sound_archives_of_others(tmp_path, benchmark):
    files = sound(benchmark)
    assert check(tmp_path, benchmark, files).findings == ()
    for change in (
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace(",", ", ") + "\n\n",
        lambda text: text.replace("12", "+12"),
    ):
        changed = {name: change(text) if text else text for name, text in files.items()}
        assert check(tmp_path, benchmark, changed).findings == ()
    assert check(tmp_path, benchmark, {f"./{name}": text for name, text in files.items()}).findings == ()


def test_repetitions_of_got10k(tmp_path):
    files = sound("got10k_test")
    several = {GOT.replace("_001", f"_00{number}"): files[GOT] for number in (2, 3)}
    assert check(tmp_path, "got10k_test", files | several).findings == ()
    columns = text_of(np.full((3, 3), 0.1))
    assert check(tmp_path, "got10k_test", files | several | {TIMES: columns}).findings == ()
    assert kinds(check(tmp_path, "got10k_test", files | {TIMES: columns})) == ["unreadable file"]
    short = {GOT.replace("_001", "_002"): text_of(boxes_of(2))}
    assert kinds(check(tmp_path, "got10k_test", files | short)) == ["wrong number of rows"]


@pytest.mark.parametrize(("name", "change", "kind", "detail"), [
    (GOT, lambda text: text.replace(",", "\t"), "wrong delimiter", r"line 1 is '20.000\t12.000\t"),
    (VIDEO, lambda text: text.replace("\n", ",\n"), "wrong delimiter", "line 1"),
    (VIDEO, lambda text: text.replace(",", ";"), "unreadable file", "line 1 is '20;12;24;18', not 4 numbers"),
    (GOT, lambda text: text.replace("23.314", "nan"), "NaN or infinite", "line 2 is 'nan,"),
    (GOT, lambda text: text.replace("23.314", "1e999"), "NaN or infinite", "line 2"),
    (GOT, lambda text: "x,y,w,h\n" + text, "unreadable file", "line 1 is 'x,y,w,h'"),
    (GOT, lambda text: "\ufeff" + text, "unreadable file", "line 1"),
    (GOT, lambda text: text.encode("utf-16"), "unreadable file", "can't decode"),
    (GOT, lambda text: "", "unreadable file", "is empty"),
    (GOT, lambda text: text.replace(",24.000", "", 1), "unreadable file", "line 1 is '20.000,12.000,18.000', not 4"),
    (GOT, lambda text: text + "1,2,3,4\n", "wrong number of rows", "4 for 3 frames"),
    (VIDEO, lambda text: text[: text.index("\n")], "wrong number of rows", "1 for 3 frames"),
    (GOT, lambda text: text[:-2], "unreadable file", ", cut short"),
    (TIMES, lambda text: text + text, "wrong number of rows", "6 times for 3 frames"),
    (TIMES, lambda text: text.replace("0.1", "0.1,0.1"), "unreadable file", "has 2 columns for 1 run(s)"),
    (TIMES, lambda text: text.replace("0.1", "-0.1", 1), "negative time", "line 1"),
])  # fmt: skip
def test_files_that_the_servers_would_misread(tmp_path, name, change, kind, detail):
    benchmark = "trackingnet" if name == VIDEO else "got10k_test"
    files = sound(benchmark)
    found = check(tmp_path, benchmark, files | {name: change(files[name])})
    assert [(finding.kind, finding.where) for finding in found.findings] == [(kind, name)]
    assert detail in found.findings[0].detail
    assert not found.good
    assert all(len(line) < 250 for line in found.text().splitlines())


def test_times_of_zero_are_a_warning(tmp_path):
    files = sound("got10k_test")
    found = check(tmp_path, "got10k_test", files | {TIMES: "0\n0.0\n0\n"})
    assert found.good
    assert kinds(found) == ["no time above 0"]


@pytest.mark.parametrize("benchmark", ["got10k_test", "trackingnet"])
def test_missing_and_surplus_files(tmp_path, benchmark):
    files = sound(benchmark)
    name = GOT if benchmark == "got10k_test" else VIDEO
    found = check(tmp_path, benchmark, {file: text for file, text in files.items() if file != name})
    [finding] = found.findings
    assert (finding.kind, finding.where) == (
        ("missing file", GOT) if benchmark == "got10k_test" else ("missing sequence", VIDEO.removesuffix(".txt"))
    )
    # TrackingNet's server looks for a name that ends like the video's, and gives zeros where there are two.
    for other in (f"copy of {name}", f"__MACOSX/._{name}", "readme.md"):
        found = check(tmp_path, benchmark, files | {other: "1,2,3,4\n"})
        assert [(finding.kind, finding.where) for finding in found.findings] == [("unknown file", other)]
        assert not found.good


def test_files_under_other_names_are_missing_and_unknown(tmp_path):
    files = {name.replace("Test", "test"): text for name, text in sound("got10k_test").items() if text}
    found = check(tmp_path, "got10k_test", files)
    assert sorted(kinds(found)) == ["missing sequence"] * 2 + ["unknown file"] * 4
    # As GRM and OSTrack keep them: no folders.
    files = {f"{name}.txt": text_of(boxes_of(length)) for name, length in LENGTHS.items()}
    assert sorted(kinds(check(tmp_path, "got10k_test", files))) == ["missing sequence"] * 2 + ["unknown file"] * 2


@pytest.mark.parametrize(("benchmark", "folder"), [("got10k_test", "results/GOT-10k/some/"), ("trackingnet", "some/")])
def test_a_nested_folder_is_reported_and_its_files_are_checked(tmp_path, benchmark, folder):
    files = sound(benchmark)
    found = check(tmp_path, benchmark, {folder + name: text for name, text in files.items()})
    assert [(finding.kind, finding.where) for finding in found.findings] == [("nested folder", folder)]
    assert found.rows == check(tmp_path, benchmark, files).rows
    assert not found.good
    name = GOT if benchmark == "got10k_test" else VIDEO
    damaged = files | {name: "1,2,3\n"}
    found = check(tmp_path, benchmark, {folder + name: text for name, text in damaged.items()})
    assert kinds(found) == ["nested folder", "unreadable file"]


def test_names_that_lead_out_of_the_folder(tmp_path):
    found = check(
        tmp_path, "trackingnet", sound("trackingnet") | dict.fromkeys(["../evil.txt", "/evil.txt"], "1,2,3,4\n")
    )
    assert kinds(found) == ["unknown file"] * 2 and not found.good
