"""analysis_results.py: trackers side by side from results on disk, in every format, and its messages about mistakes."""

import csv
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.results.folder import Track, open_results

PROGRAM = "analysis_results.py"
NAMES = ("GOT-10k_Val_000001", "GOT-10k_Val_000002")
DATASET = ("--dataset", "got10k_val")
PART = "part of got10k_val (2 of 180 sequences)"


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call) -> Path:
    """An output folder of its own."""
    monkeypatch.setenv("TRACKING_OUTPUT", str(tmp_path / "output"))
    return tmp_path / "output"


def truth(root: Path, name: str) -> np.ndarray:
    return np.loadtxt(root / "val" / name / "groundtruth.txt", delimiter=",")


@pytest.fixture
def raw(tmp_path: Path, toy_got10k: Path) -> Path:
    """Folders of raw results: ``perfect``, ``static``, two ``seeds`` near the target, and ``half`` of one sequence."""
    folder = tmp_path / "raw"
    for name in NAMES:
        boxes = truth(toy_got10k, name)
        write(folder / "perfect", name, boxes)
        write(folder / "static", name, np.repeat(boxes[:1], len(boxes), axis=0))
        for seed in (1, 2):
            off = np.random.default_rng(seed).normal(size=(len(boxes), 2)) * 2 * seed
            write(folder / f"seed{seed}", name, np.concatenate([boxes[:, :2] + off, boxes[:, 2:]], axis=1))
    write(folder / "half", NAMES[0], truth(toy_got10k, NAMES[0]))
    return folder


def write(folder: Path, name: str, boxes: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / f"{name}.txt", boxes, delimiter=",", fmt="%.4f")


def json_of(ended) -> dict:
    return json.loads(ended.out)


def test_trackers_side_by_side_from_raw_results(call, output, raw):
    ended = call(PROGRAM, *DATASET, "--tracker", f"A={raw / 'perfect'}", raw / "static")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0] == "WARNING: got10k_val: PART, 2 of 180 sequences: not the whole set"
    assert lines[1] == f"Scores in percent, {PART}, protocol got10k"
    assert lines[2].split() == ["tracker", "AO", "SR0.5", "SR0.75"]
    assert lines[3].split() == ["A", "100.0", "100.0", "100.0"]
    assert lines[4].split()[0] == "static" and float(lines[4].split()[1]) < 90
    assert lines[5].startswith(f"got10k_val, A: results of {raw / 'perfect'} (")


def test_our_own_results_are_found_by_name_and_their_settings_stated(call, output, raw, toy_got10k):
    class Named:
        """What a results folder asks of a sequence."""

        def __init__(self, name: str) -> None:
            self.name, self.boxes = name, truth(toy_got10k, name)

        def __len__(self) -> int:
            return len(self.boxes)

    overrides = {"model.division.threshold": 0.4}
    folder = open_results(output, "toy", "got10k_val", None, {"seed": 1}, "cpu", label="last", overrides=overrides)
    for sequence in map(Named, NAMES):
        ones = np.ones(len(sequence))
        folder.write(sequence, Track(sequence.boxes, ones, ones / 50, ones / 100))
    ended = call(PROGRAM, *DATASET, "--tracker", "toy")
    assert ended.code == 0, ended.err
    label = f"toy/{folder.path.name}"
    assert [label, "100.0", "100.0", "100.0"] in [line.split() for line in ended.out.splitlines()]
    assert f"got10k_val, {label}: settings of this benchmark: model.division.threshold=0.4" in ended.out
    [tracker] = json_of(call(PROGRAM, *DATASET, "--tracker", "ours=toy", "--format", "json"))["benchmarks"][0][
        "trackers"
    ]
    assert tracker["label"] == "ours"
    assert tracker["runs"][0]["manifest"]["overrides"] == overrides
    assert tracker["runs"][0]["seconds_per_frame"] == pytest.approx(0.02)


def test_all_protocols_and_the_sequences_that_one_of_them_refuses(call, output, raw):
    """One row is too many, which GOT-10k's toolkit and pysot refuse and others cut."""
    file = raw / "perfect" / f"{NAMES[1]}.txt"
    file.write_text(file.read_text() + "1,2,3,4\n")
    ended = call(PROGRAM, *DATASET, "--tracker", raw / "perfect", "--protocol", "all")
    assert ended.code == 1
    for protocol in PROTOCOLS:
        assert f"{PART}, protocol {protocol}\n" in ended.out
    assert (
        f"NO SET SCORE by protocol got10k, pysot: 1 of 2 sequences could not be scored: {NAMES[1]}: 21 predicted boxes "
        "for 20 annotated frames"
    ) in ended.out
    assert f"by its own rule: 1 surplus row(s) cut, in 1 sequence(s): {NAMES[1]}" in ended.out
    assert ended.out.count(f"results of {raw / 'perfect'}") == 1
    assert call(PROGRAM, *DATASET, "--tracker", raw / "perfect", "--protocol", "lasot").code == 0


def test_what_is_missing_is_named_and_the_rest_compared(call, output, raw):
    ended = call(PROGRAM, *DATASET, "--tracker", raw / "half", raw / "perfect", "gone", f"gone2={raw / 'gone2'}")
    assert ended.code == 1
    assert "WARNING: got10k_val: no results of gone: " in ended.out
    assert "WARNING: got10k_val: no results of gone2: " in ended.out
    assert f"NO SET SCORE by protocol got10k: 1 of 2 sequences could not be scored: {NAMES[1]}: " in ended.out
    lines = [line.split() for line in ended.out.splitlines()]
    assert ["half", "-", "-", "-"] in lines and ["perfect", "100.0", "100.0", "100.0"] in lines
    ended = call(PROGRAM, *DATASET, "--tracker", "gone")
    assert (ended.code, ended.out) == (1, "")
    [line] = ended.errors
    assert line.startswith("error: got10k_val: no results of gone: ")


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "csv"])
def test_formats_digits_and_scores(call, output, raw, form):
    words = ("--tracker", raw / "static", "--format", form, "--digits", "3", "--scores", "SR0.5", "AO")
    printed = call(PROGRAM, *DATASET, *words).out
    plain = call(PROGRAM, *DATASET, "--tracker", raw / "static", "--format", "json")
    scores = json_of(plain)["benchmarks"][0]["trackers"][0]["scores"]["got10k"]
    assert f"{100 * scores['AO']['mean']:.3f}" in printed and f"{100 * scores['SR0.5']['mean']:.3f}" in printed
    assert "SR0.75" not in printed and "protocol got10k" in printed
    if form == "csv":
        _, names, row = csv.reader(io.StringIO(printed))
        scope = f"{PART}, protocol got10k"
        assert names == ["tracker", f"{scope}: AO", f"{scope}: SR0.5"] and row[0] == "static"


def test_a_users_attributes(call, output, raw, tmp_path):
    file = tmp_path / "own.json"
    content = {"attributes": {"N": "Night", "D": "Day"}, "sequences": {NAMES[0]: ["N"], NAMES[1]: ["N", "D"]}}
    file.write_text(json.dumps(content))
    for word in (file, f"got10k_val={file}"):
        words = ("--tracker", raw / "static", "--per-attribute", "--attributes", word)
        ended = call(PROGRAM, *DATASET, *words)
        assert ended.code == 0, ended.err
        assert "N Night (2)" in ended.out and "D Day (1)" in ended.out and "all (2)" in ended.out
    file.write_text("{")
    ended = call(PROGRAM, *DATASET, *words)
    assert ended.code == 1 and ended.errors[0].startswith(f"error: {file}: is no JSON")


@pytest.mark.slow
def test_what_scores_say_and_the_best_threshold(call, output, raw, toy_got10k, tmp_path):
    for name in NAMES:
        boxes = truth(toy_got10k, name)
        boxes[10:] += 100
        write(raw / "leaving", name, boxes)
        np.savetxt(raw / "leaving" / f"{name}_scores.txt", np.linspace(1, 0, len(boxes)))
    words = ("--tracker", raw / "leaving", raw / "perfect", "--confidence")
    ended = call(PROGRAM, *DATASET, *words, "--out", tmp_path / "out", "--plots")
    assert ended.code == 0, ended.err
    assert re.search(r"got10k_val, leaving: 38 frames, .* lost_below: 0\.\d+\n", ended.out)
    assert "got10k_val, perfect: no confidence: 2 of 2 sequences without a file of scores\n" in ended.out
    written = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"confidence_got10k_val.csv", "reliability_got10k_val.txt", "got10k_val_confidence.png"} <= written
    content = json_of(call(PROGRAM, *DATASET, *words, "--format", "json"))["benchmarks"][0]["confidence"]
    assert content["leaving"]["auroc"] == 1 and "missing" in content["perfect"]
    assert json_of(call(PROGRAM, *DATASET, *words[:3], "--format", "json"))["benchmarks"][0]["confidence"] == {}


@pytest.mark.slow
def test_everything_is_written(call, output, raw, tmp_path):
    out, page = tmp_path / "analysis", tmp_path / "page.html"
    words = ("--tracker", raw / "static", raw / "perfect", "--bootstrap", "20", "--per-sequence", "perfect", "static")
    ended = call(PROGRAM, *DATASET, *words, "--out", out, "--plots", "--html", page, "--video")
    assert ended.code == 0, ended.err
    assert "95 % interval over sequences, percentile bootstrap, N = 20, seed 0" in ended.out
    assert "Difference from static in percent points [95 % interval over sequences, paired" in ended.out
    table = ended.out.split("AO in percent by sequence, perfect minus static, ")[1].splitlines()[2:]
    differences = [float(line.split()[3]) for line in table]
    assert len(differences) == 2 and differences == sorted(differences, reverse=True) and differences[1] > 0
    assert call(PROGRAM, *DATASET, *words).out == ended.out != call(PROGRAM, *DATASET, *words, "--seed", "1").out
    tables = ("scores_got10k", "differences_got10k", "sequences_got10k_val_got10k_AO")
    films = {file.name for file in out.glob("*.mp4")}
    assert {name[:21] for name in films} == {"got10k_val_worst_1_GO", "got10k_val_worst_2_GO"} and len(films) == 2
    assert {file.name for file in out.iterdir()} - films == {
        *(f"{table}.{ending}" for table in tables for ending in ("txt", "md", "tex", "csv")),
        "analysis.json", "got10k_val_got10k_success.pdf", "got10k_val_got10k_success.png",
    }  # fmt: skip
    assert "results of" in (out / "sequences_got10k_val_got10k_AO.txt").read_text()
    content = json.loads((out / "analysis.json").read_text())
    assert content["bootstrap"] == {"times": 20, "seed": 0} and content["missing"] == []
    assert "<html" in page.read_text() and "perfect" in page.read_text()


@pytest.mark.slow
def test_the_program_run_for_real(run, raw):
    ended = run(PROGRAM, *DATASET, "--tracker", f"A={raw / 'perfect'}")
    assert ended.code == 0, ended.err
    assert ["A", "100.0", "100.0", "100.0"] in [line.split() for line in ended.out.splitlines()]


@pytest.mark.parametrize(("words", "message"), [
    ("--dataset trackingnet --tracker a", "trackingnet: ground truth beyond the first frame is not public; "),
    ("--dataset lasott --tracker a", "unknown benchmark 'lasott'; did you mean lasot?"),
    ("--dataset lasot --tracker a --protocol lasott", "unknown protocol 'lasott'; did you mean lasot?"),
    ("--dataset lasot --tracker a --plots", "--plots: name the folder for the pictures with --out FOLDER"),
    ("--dataset lasot --tracker a --video", "--video: name the folder for the videos with --out FOLDER"),
    ("--dataset lasot --tracker a --pictures", "--pictures: they are part of the page; name it with --html FILE"),
    ("--dataset lasot uav --tracker a --attributes x.json", "--attributes x.json: name its dataset: "),
    ("--dataset lasot --tracker a --attributes uav=x.json", "--attributes uav=x.json: uav is none of the datasets "),
])  # fmt: skip
def test_a_wrong_request_is_one_line_and_exit_code_2(call, output, words, message):
    ended = call(PROGRAM, *words.split())
    assert (ended.code, ended.out) == (2, "")
    [line] = ended.errors
    assert line.startswith(f"error: {message}")


@pytest.mark.parametrize(("words", "message"), [
    ("--scores AUC", "--scores: no score 'AUC' by these protocols; there are AO, SR0.5, SR0.75"),
    ("--per-sequence static other", "--per-sequence: no tracker 'other'; there are static"),
    ("--per-attribute", "--per-attribute: no attributes are known of got10k_val; bring a file with --attributes"),
])  # fmt: skip
def test_a_wrong_name_is_one_line_and_exit_code_2(call, output, raw, words, message):
    ended = call(PROGRAM, *DATASET, "--tracker", raw / "static", *words.split())
    assert (ended.code, ended.out, ended.errors) == (2, "", [f"error: {message}"])


@pytest.mark.parametrize("words", [
    "--tracker a", "--dataset lasot", "--dataset lasot --tracker a --bootstrap 0",
    "--dataset lasot --tracker a --digits 7", "--dataset lasot --tracker a --seed -1",
])  # fmt: skip
def test_wrong_arguments_are_exit_code_2(call, words):
    assert call(PROGRAM, *words.split()).code == 2


def test_images_are_not_needed(call, output, raw, toy_got10k, tmp_path, monkeypatch):
    """The size of the images, which GOT-10k's protocol asks for, is in the dataset's own words."""
    root = tmp_path / "annotations"
    shutil.copytree(toy_got10k, root)
    for image in (root / "val").glob("*/*.jpg"):
        image.write_bytes(b"")
    for name in NAMES:
        (root / "val" / name / "meta_info.ini").write_text("[METAINFO]\nresolution: (96, 72)\n")
    before = call(PROGRAM, *DATASET, "--tracker", raw / "static").out
    monkeypatch.setenv("TRACKING_DATA_GOT10K", str(root))
    ended = call(PROGRAM, *DATASET, "--tracker", raw / "static")
    assert ended.code == 0 and ended.out == before
