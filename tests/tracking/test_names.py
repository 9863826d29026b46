"""Names that no terminal, table or disk likes: every program goes on to its end and shows them with escapes."""

import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from miniatures import write_boxes, write_frames
from toy_experiment import write_checkpoint, write_experiment

from lib.experiment.config import load_experiment

GBK = os.fsdecode("\u884c\u4eba".encode("gbk"))  # no UTF-8
WILD = "=a\n\x1b[2J\\input{x}<script>|$y$"
SHOWN = r"=a\n\x1b[2J\input{x}<script>|$y$"
NAMES = (GBK, WILD, "\u4e2d", "plain")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call) -> Path:
    """Own data of four frames a sequence, with an output folder of its own."""
    for name in NAMES:
        write_boxes(
            tmp_path / "own" / name / "groundtruth.txt", write_frames(tmp_path / "own" / name, "%04d.jpg", 1, 4)
        )
    monkeypatch.setenv("TRACKING_DATA_OWN", str(tmp_path / "own"))
    monkeypatch.setenv("TRACKING_OUTPUT", str(tmp_path / "output"))
    return tmp_path / "own"


def assert_clean(text: str) -> None:
    """Nothing but printable characters and line breaks."""
    assert all(line.isprintable() for line in text.split("\n")), text


def test_check(own, call, tmp_path):
    for name in NAMES:
        (own / name / "0003.jpg").write_bytes(b"")
    ended = call("prepare_data.py", "check", "own", "--processes", "1", "--json", tmp_path / "report.json")
    assert ended.code == 1
    assert_clean(ended.out)
    lines = [line for line in ended.out.splitlines() if "0003.jpg" in line]
    assert len(lines) == 3 and any(line.startswith(f"  {SHOWN}: ") for line in lines)
    problems = json.loads((tmp_path / "report.json").read_text())["splits"][0]["problems"]
    assert {problem["sequence"] for problem in problems} == set(NAMES)


def test_check_of_names_whose_results_would_meet(own, call):
    (own / "plain").rename(own / f"{GBK}_scores")
    ended = call("prepare_data.py", "check", "own", "--processes", "1")
    assert ended.code == 1
    name = r"\udcd0\udcd0\udcc8\udccb"
    assert f"{name}_scores: its results would be written to the same files as those of {name}; rename it" in ended.out


@pytest.mark.slow
def test_analysis_in_every_format(own, call, tmp_path):
    for tracker, off in (("one", 1), ("two", 3)):
        for name in NAMES:
            boxes = np.loadtxt(own / name / "groundtruth.txt", delimiter=",") + [off, 0, 0, 0]
            write_boxes(tmp_path / "raw" / tracker / f"{name}.txt", boxes)
    (tmp_path / "raw" / "two" / f"{WILD}.txt").write_text("damaged")
    words = {"A": "a", "B\n": WILD, "B_": "b"}
    attributes = {"attributes": words, "sequences": {name: list(words) for name in NAMES}}
    (tmp_path / "attributes.json").write_text(json.dumps(attributes))
    trackers = [f"{label}={tmp_path / 'raw' / label.split()[0]}" for label in ("one", "two")]
    out = tmp_path / "out"
    words = ["--dataset", "own", "--out", out, "--plots", "--html", out / "page.html", "--per-sequence", "one", "two"]
    words += ["--per-attribute", "--attributes", tmp_path / "attributes.json"]
    printed = {}
    for form in ("text", "markdown", "latex", "csv", "json"):
        ended = call("analysis_results.py", *words[: None if form == "text" else 2], "--format", form,
                     "--tracker", *trackers)  # fmt: skip
        assert ended.code == 1, ended.err
        assert_clean(ended.out)
        printed[form] = ended.out
    assert SHOWN in printed["text"] and f": {SHOWN}: " in printed["text"]
    for file in (file for file in out.iterdir() if file.suffix in (".txt", ".md", ".tex", ".csv", ".json")):
        assert_clean(file.read_text(encoding="utf-8"))
    [table] = out.glob("sequences_own_*.csv")
    rows = list(csv.reader(table.read_text(encoding="utf-8").splitlines()))
    assert {row[0] for row in rows[1:]} == {r"\udcd0\udcd0\udcc8\udccb", f"'{SHOWN}", "\u4e2d", "plain"}
    for file in out.glob("*.md"):
        assert "<script" not in file.read_text(encoding="utf-8")
    for file in out.glob("*.tex"):
        live = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("%")]
        assert not any(r"\input" in line for line in live)
    assert len(list(out.glob("*_success_B_*.pdf"))) == 2, "one plot for each attribute"
    assert_clean(re.sub(r"\s", " ", (out / "page.html").read_text(encoding="utf-8")))


def test_a_label_is_escaped_as_names_are(own, call, tmp_path):
    for name in NAMES:
        write_boxes(tmp_path / "raw" / f"{name}.txt", np.loadtxt(own / name / "groundtruth.txt", delimiter=","))
    label = WILD.replace("=", "@")
    ended = call(
        "analysis_results.py", "--dataset", "own", "--tracker", f"{label}={tmp_path / 'raw'}", "--format", "csv"
    )
    assert ended.code == 0, ended.err
    assert [row[0] for row in csv.reader(ended.out.splitlines())] == ["tracker", f"'{SHOWN.replace('=', '@')}"]


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_testing(own, call, tmp_path, processes):
    (own / "\u4e2d").rename(own / ("\u4e2d" * 80))
    experiment = load_experiment(str(write_experiment(tmp_path / "toy.yaml")))
    checkpoint = write_checkpoint(tmp_path / f"{GBK}.pth", experiment)
    words = ["--checkpoint", checkpoint, "--dataset", "own", "--processes", processes]
    ended = call("test.py", *words)
    assert ended.code == 1, ended.err
    assert_clean(ended.out)
    assert_clean(ended.err.replace("\r", ""))
    assert "sequences: 3 tracked, 0 kept, 1 failed" in ended.out
    assert (
        "\u4e2d" * 80 + ": its name has 240 bytes, too many for files of results on this disk; 238 are the most"
        in ended.out
    )
    [folder] = (tmp_path / "output" / "toy" / "results" / "own").iterdir()
    assert {f"{name}_time.txt" for name in (GBK, WILD, "plain")} == {
        file.name for file in folder.glob("*[!k]_time.txt")
    }
    again = call("test.py", *words)
    assert "sequences: 0 tracked, 3 kept, 1 failed" in again.out


def test_what_a_file_says_of_itself_is_escaped_in_errors(call, tmp_path):
    ended = call("show_config.py", "--config", tmp_path / "\x1b]0;mine\x07.yaml")
    assert ended.code == 1 and r"\x1b]0;mine\x07.yaml" in ended.err
    assert_clean(ended.err)
