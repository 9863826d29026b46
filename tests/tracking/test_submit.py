"""submit.py: an archive of a whole benchmark from our results and from those of others, and what it refuses to make."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from miniatures import moving_boxes, write_boxes, write_got10k

from lib.evaluation.benchmarks import read_benchmark
from lib.evaluation.results.folder import Track, open_results
from lib.evaluation.results.sequence_names import known_names

GOT10K, LENGTH = "got10k_test", 3
LABEL = "epoch_0300"


@pytest.fixture(scope="module")
def got10k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GOT-10k's test set in miniature: all 180 sequences, three frames each."""
    return write_got10k(tmp_path_factory.mktemp("data") / "got10k", "test", [LENGTH] * 180, first_box_only=True)


@pytest.fixture
def _on_disk(call, got10k: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKING_DATA_GOT10K", str(got10k))


@pytest.fixture(scope="module")
def tracked(got10k: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with our results of all 180; tests leave it as it is."""
    output = tmp_path_factory.mktemp("output")
    folder = open_results(output, "toy", GOT10K, None, {}, "cpu", label=LABEL)
    first, *others = read_benchmark(GOT10K, got10k, tmp_path_factory.mktemp("cache")).sequences
    seconds = np.full(LENGTH, 0.25)
    folder.write(first, Track(moving_boxes(LENGTH), np.ones(LENGTH), seconds, seconds))
    for file in list(folder.path.glob(f"{first.name}*")):
        for other in others:  # each written by itself would wait for the disk
            shutil.copy(file, file.with_name(file.name.replace(first.name, other.name)))
    return output


@pytest.fixture
def output(tracked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call) -> Path:
    """A copy of the results that a test may damage; the folder of the one tracker."""
    shutil.copytree(tracked, tmp_path / "output")
    monkeypatch.setenv("TRACKING_OUTPUT", str(tmp_path / "output"))
    [folder] = (tmp_path / "output" / "toy" / "results" / GOT10K).iterdir()
    return folder


def state(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("_on_disk")
def test_our_results_by_name_become_an_archive_that_passes_the_check(call, output, tmp_path):
    before = state(tmp_path / "output")
    file = tmp_path / "new" / "toy.zip"
    ended = call("submit.py", GOT10K, "--tracker", LABEL, "--out", file)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines() == [
        f"{output}: got10k_test, 180 sequences expected, 540 boxes",
        "fit to be sent",
        f"{file}: written, for the GOT-10k server (got-10k.aitestunion.com)",
    ]
    assert state(tmp_path / "output") == before
    with zipfile.ZipFile(file) as archive:
        assert len(archive.namelist()) == 360
        for name in known_names(GOT10K):
            rows = archive.read(f"{name}/{name}_001.txt").decode()
            assert rows == "20.0000,12.0000,24.0000,18.0000\n" + "".join(
                f"{20 + 3 * frame}.0000,{12 + 2 * frame}.0000,24.0000,18.0000\n" for frame in (1, 2)
            )
            assert archive.read(f"{name}/{name}_time.txt").decode() == "0.25000000\n" * LENGTH
    ended = call("submit.py", GOT10K, "--check", file)
    assert ended.code == 0
    assert ended.out.splitlines() == [f"{file}: got10k_test, 180 sequences expected, 540 boxes", "fit to be sent"]


@pytest.mark.usefixtures("_on_disk")
def test_incomplete_results_are_refused_and_the_missing_sequences_named(call, output, tmp_path):
    for name in known_names(GOT10K)[5:9]:
        (output / f"{name}.txt").unlink()
    ended = call("submit.py", GOT10K, "--tracker", LABEL, "--out", tmp_path / "toy.zip")
    assert ended.code == 1
    assert "missing sequence      4  GOT-10k_Test_000006; GOT-10k_Test_000007; GOT-10k_Test_000008 ..." in ended.out
    assert ended.out.splitlines()[-2:] == [
        "not fit to be sent: 4 error(s)", f"{tmp_path / 'toy.zip'}: not written",
    ]  # fmt: skip
    assert not list(tmp_path.glob("toy.zip*"))


@pytest.mark.usefixtures("_on_disk")
def test_a_zip_of_others_results_becomes_an_archive_and_stays_as_it_is(call, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKING_OUTPUT", str(tmp_path / "output"))
    raw = tmp_path / "trackingnet.zip"
    with zipfile.ZipFile(raw, "w") as archive:
        for name in known_names("trackingnet"):
            archive.writestr(f"ostrack/trackingnet/{name}.txt", "1\t2\t3\t4\n" * LENGTH)
    before = raw.read_bytes()
    ended = call("submit.py", "trackingnet", "--tracker", raw, "--out", tmp_path / "sent.zip")
    assert ended.code == 0, ended.err
    assert raw.read_bytes() == before
    with zipfile.ZipFile(tmp_path / "sent.zip") as archive:
        assert archive.namelist() == sorted(f"{name}.txt" for name in known_names("trackingnet"))
        assert archive.read("-Dz7OIf54b0_0.txt").decode() == "1.0000,2.0000,3.0000,4.0000\n" * LENGTH
    # What was given is no archive for the server: it lies in folders, and has tabs.
    ended = call("submit.py", "trackingnet", "--check", raw)
    assert ended.code == 1
    lines = ended.out.splitlines()
    assert lines[1].startswith("ERROR    nested folder           1  ostrack/trackingnet/: ")
    assert lines[2].startswith("ERROR    wrong delimiter       511  -Dz7OIf54b0_0.txt: line 1 is '1\\t2\\t3\\t4'; ")
    assert lines[-1] == "not fit to be sent: 512 error(s)"
    assert len(lines) == 5
    # Nor is it written over.
    ended = call("submit.py", "trackingnet", "--tracker", raw, "--out", raw)
    assert ended.code == 1
    assert ended.errors == [f"error: --out {raw}: is there already; remove it or name another file"]
    assert raw.read_bytes() == before


@pytest.mark.usefixtures("_on_disk")
def test_a_name_that_matches_several_results(call, output, tmp_path):
    shutil.copytree(output, output.with_name(f"{LABEL}-00000000"))
    ended = call("submit.py", GOT10K, "--tracker", "toy", "--out", tmp_path / "toy.zip")
    assert ended.code == 1
    [line] = ended.errors
    assert line.startswith("error: --tracker toy: matches 2 results of got10k_test; name one of ")
    assert str(output) in line


@pytest.mark.usefixtures("_on_disk")
def test_results_of_other_data_under_the_same_names(call, output, tmp_path, monkeypatch):
    name = known_names(GOT10K)[0]
    file = output / f"{name}.txt"
    rows = moving_boxes(LENGTH)
    write_boxes(file, rows + [0, 0, 1, 0])
    ended = call("submit.py", GOT10K, "--tracker", LABEL, "--out", tmp_path / "toy.zip")
    assert ended.code == 1
    assert f"unreadable result      1  {name}: {file}: begins elsewhere than the sequence's first box" in ended.out
    assert "missing sequence" not in ended.out


def test_results_and_benchmarks_that_are_not_there(call, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKING_OUTPUT", str(tmp_path / "output"))
    words = ["--tracker", "some", "--out", tmp_path / "some.zip"]
    assert "some: " in call("submit.py", GOT10K, *words).error
    assert call("submit.py", "got10k_val", *words).error.startswith("got10k_val: no server takes archives of it")


@pytest.mark.parametrize("words", [
    "got10k_test",
    "got10k_test --tracker some",
    "got10k_test --out some.zip",
    "got10k_test --check some.zip --out other.zip",
    "got10k_test --check some.zip --tracker some",
    "got10k_test --check some.zip --tracker some --out other.zip",
    "--check some.zip",
])  # fmt: skip
def test_wrong_arguments_are_exit_code_2(call, words):
    assert call("submit.py", *words.split()).code == 2


@pytest.mark.slow
def test_the_program_itself(run, tmp_path):
    (tmp_path / "some.zip").write_bytes(b"no archive")
    ended = run("submit.py", "trackingnet", "--check", tmp_path / "some.zip")
    assert ended.code == 1
    assert "not a whole zip archive" in ended.err
