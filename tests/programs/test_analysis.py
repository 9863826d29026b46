"""Comparisons over paths: several benchmarks side by side, who is one tracker and who is not."""

import shutil
from pathlib import Path

import miniatures
import pytest

from lib.config.paths import Paths
from lib.programs.analysis import analyze
from lib.runtime.program import RequestError

SEQUENCES = {"dtb70": ("Animal1", "Car2", "Yacht3"), "got10k_val": ("GOT-10k_Val_000001", "GOT-10k_Val_000002")}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Two datasets in miniature, and raw results of ``near`` and ``far`` on both, in the output folder."""
    miniatures.write_got10k(tmp_path / "got10k", "val", (6, 9))
    for name in SEQUENCES["dtb70"]:
        boxes = miniatures.write_frames(tmp_path / "dtb70" / name / "img", "%05d.jpg", 1, 7)
        miniatures.write_boxes(tmp_path / "dtb70" / name / "groundtruth_rect.txt", boxes)
    output = tmp_path / "output"
    for tracker, off in (("near", 1), ("far", 9)):
        for benchmark, names in SEQUENCES.items():
            for name in names:
                boxes = miniatures.moving_boxes({"GOT-10k_Val_000001": 6, "GOT-10k_Val_000002": 9}.get(name, 7))
                boxes[1:, :2] += off
                miniatures.write_boxes(output / "raw" / tracker / benchmark / f"{name}.txt", boxes)
    return Paths(
        data={"dtb70": tmp_path / "dtb70", "got10k": tmp_path / "got10k"},
        output=output,
        pretrained_models=tmp_path,
        cache=tmp_path / "cache",
    )


def ask(paths: Paths, *trackers: str, datasets=("dtb70", "got10k_val"), **changed) -> tuple[list[list[str]], bool]:
    """The words of the lines of the report, but for the warnings that a few sequences are a part of a benchmark."""
    report = analyze(paths, datasets, trackers, **changed)
    return [line.split() for line in report.text().splitlines() if ": PART, " not in line], report.good


def test_benchmarks_stand_side_by_side_with_their_own_protocols(paths):
    lines, complete = ask(paths, "near=near", "far=far", scores=("AUC", "AO"))
    assert complete
    dtb70 = "part of dtb70 (3 of 70 sequences), protocol pytracking"
    got10k = "part of got10k_val (2 of 180 sequences), protocol got10k"
    assert " ".join(lines[0]) == f"Scores in percent, {dtb70}; {got10k}"
    assert lines[1] == ["tracker", "dtb70", "AUC", "got10k_val", "AO"]
    near, far = lines[2:4]
    assert (near[0], far[0]) == ("near", "far")
    assert all(float(ours) > float(theirs) for ours, theirs in zip(near[1:], far[1:], strict=True))


def test_a_path_of_each_benchmark_is_found_by_its_name(paths):
    lines, complete = ask(paths, f"N={paths.output}/raw/near/{{dataset}}", "far=far")
    assert complete and [lines[2][0], lines[3][0]] == ["N", "far"]


def test_a_tracker_without_results_on_one_benchmark_has_dashes_there(paths):
    shutil.rmtree(paths.output / "raw" / "near" / "dtb70")  # what is left there is of other sequences
    lines, complete = ask(paths, "near=near", "far=far", scores=("AUC", "AO"))
    assert not complete
    assert lines[0][:6] == ["WARNING:", "dtb70:", "no", "results", "of", "near:"]
    [row] = [line for line in lines if line[0] == "near"]
    assert row[1] == "-" and float(row[2]) > 0
    assert "holds results of other sequences than those of dtb70" in " ".join(lines[0])


def test_results_named_twice_are_one_run_and_results_of_one_name_are_two_trackers(paths):
    val = ("got10k_val",)
    again = paths.output / "raw" / ".." / "raw" / "near"
    lines, _ = ask(paths, "near", "raw/near", str(again), "T=near", f"T={again}", datasets=val)
    assert [line[0] for line in lines[2:4]] == ["raw/near", "T"] and lines[3][1] != "("
    shutil.copytree(paths.output / "raw" / "near", paths.output / "other" / "near")
    lines, _ = ask(paths, "raw/near", "other/near", datasets=val)
    assert [line[0] for line in lines[2:4]] == ["raw/near", "other/near"]
    lines, _ = ask(paths, "T=raw/near", "T=other/near", datasets=val)
    assert lines[2][:3] == ["T", "(2", "runs)"] and lines[2][4:6] == ["±", "0.0"]


def test_rows_are_in_the_order_of_the_trackers(paths):
    lines, _ = ask(paths, "A=far", "near", "B=near", datasets=("got10k_val",))
    assert [line[0] for line in lines[2:5]] == ["A", "raw/near", "B"]
    lines, complete = ask(paths, "far", "gone", "A=far", "near", datasets=("got10k_val",))
    assert not complete and [line[0] for line in lines[3:6]] == ["raw/far", "A", "raw/near"]


def test_a_label_that_a_found_tracker_has_is_refused(paths):
    refused = "two trackers are called raw/near; give one of them another label: LABEL=raw/near"
    with pytest.raises(RequestError, match=refused):
        ask(paths, "near", "raw/near=far", datasets=("got10k_val",))
    shutil.copytree(paths.output / "raw" / "near", paths.output / "results" / "raw" / "near")
    with pytest.raises(RequestError, match=refused):
        ask(paths, "near", datasets=("got10k_val",))


def test_a_labelled_path_with_several_trackers_below_is_not_taken_for_runs_of_one(paths):
    lines, complete = ask(paths, f"T={paths.output / 'raw'}", "far", datasets=("got10k_val",))
    assert not complete and lines[0][:6] == ["WARNING:", "got10k_val:", "no", "results", "of", "T:"]
    assert [line[0] for line in lines[3:4]] == ["raw/far"]


def test_attributes_of_one_of_two_benchmarks(paths, tmp_path):
    file = tmp_path / "own.json"
    file.write_text('{"attributes": {"S": "Sea"}, "sequences": {"Yacht3": ["S"]}}')
    lines, _ = ask(paths, "near=near", attributes=(f"dtb70={file}",), per_attribute=True)
    assert lines[0][0] == "WARNING:" and lines[0][-2:] == ["Animal1,", "Car2"]
    assert [line[:3] for line in lines if line and line[0] == "S"] == [["S", "Sea", "(1)"]]
