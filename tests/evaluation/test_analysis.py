"""Comparisons and their tables: one reading of the boxes, no set score over fewer sequences, everything said."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lib.data.datasets.registry import DATASETS
from lib.evaluation.metrics.attributes import Attributes
from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.reports.bootstrap import Bootstrap, difference_intervals, with_intervals
from lib.evaluation.reports.comparison import Comparison, choose_protocols, compare
from lib.evaluation.reports.figures import write_figures
from lib.evaluation.reports.layout import attribute_tables, difference_tables, score_tables, sequence_tables
from lib.evaluation.reports.plain import plain_comparison
from lib.evaluation.reports.remarks import remarks
from lib.evaluation.reports.tables import TABLE_FORMATS, Cell, render_table
from lib.evaluation.results.result_set import MissingResultError
from tests.evaluation.toy_sets import ToyResults, noisy, scored, sequences

VIDEOS = sequences(5)
ATTRIBUTES = Attributes(
    {"FM": "Fast Motion", "OCC": "Occlusion", "SV": "Scale Variation"},
    {"FM": frozenset({"video0", "video3"}), "OCC": frozenset({"video1"}), "SV": frozenset({"video0", "video4"})},
)
NONE = Attributes({}, {})


def results(label: str, level: float = 0.2, seed: int = 0, **changed) -> ToyResults:
    return replace(ToyResults(label, noisy(level, seed)), **changed)


def comparison(*groups, protocols=("pytracking",), benchmark: str = "otb", attributes=ATTRIBUTES) -> Comparison:
    groups = groups or (("a", [results("a", 0.1)]), ("b", [results("b", 0.3)]))
    return compare(benchmark, VIDEOS, groups, protocols, attributes)


def lacking(name: str, level: float = 0.2):
    def boxes(video):
        if video.name == name:
            raise MissingResultError(f"/raw/{name}.txt: no such file")
        return noisy(level)(video)

    return boxes


# Which protocols


def test_a_benchmark_has_its_own_protocol_unless_others_are_asked_for():
    assert choose_protocols("lasot", (), VIDEOS) == ("lasot",)
    assert choose_protocols("uav", ("ostrack", "lasot", "ostrack"), VIDEOS) == ("ostrack", "lasot")


def test_all_are_those_that_the_annotations_allow_the_own_one_first():
    uncovered = sequences(2, covered=False)
    assert choose_protocols("uav", ("all",), uncovered)[0] == "grm"
    assert set(choose_protocols("uav", ("all",), uncovered)) == set(PROTOCOLS) - {"got10k"}
    assert set(choose_protocols("got10k_val", ("all",), VIDEOS)) == set(PROTOCOLS)


@pytest.mark.parametrize("benchmark", ["got10k_test", "trackingnet"])
def test_what_a_server_scores_is_refused_with_the_way_there(benchmark):
    with pytest.raises(ValueError, match=rf"^{benchmark}: .* server \(.*tracking/submit.py") as caught:
        choose_protocols(benchmark, (), ())
    assert "\n" not in str(caught.value)


def test_an_unknown_protocol_is_named_with_the_nearest():
    with pytest.raises(ValueError, match="unknown protocol 'got10'; did you mean got10k"):
        choose_protocols("lasot", ("got10",), VIDEOS)


# Comparing


def test_scores_are_those_of_each_result_set_which_is_read_once():
    read = []

    def boxes(video):
        read.append(video.name)
        return noisy(0.1)(video)

    found = comparison(("a", [replace(results("x"), boxes=boxes)]), protocols=("lasot", "grm"))
    assert read == [video.name for video in VIDEOS]
    [entry] = found.entries
    for protocol in found.protocols:
        alone = scored(VIDEOS, noisy(0.1)).values(protocol)
        assert {name: cell.value for name, cell in entry.values(protocol).items()} == alone
    [run] = entry.runs
    assert run.results.label == "x" and run.seconds == 0.02


def test_a_sweep_on_a_test_set_is_warned_of():
    manifest = {"benchmark": "otb", "sweeps": ["model.division.threshold=0:1:0.1"], "overrides": {}}
    found = comparison(("a", [results("a", manifest=manifest)]))
    _, warning = found.warnings
    assert warning.startswith("otb, a: settings chosen on the test set") and "model.division.threshold" in warning
    assert warning in score_tables([found])[0].warnings


@pytest.mark.parametrize("form", [*TABLE_FORMATS, "json"])
def test_a_part_of_a_benchmark_is_called_one_in_every_format(form, monkeypatch):
    def report() -> str:
        found = comparison()
        if form == "json":
            return json.dumps(plain_comparison(found))
        tables = (*score_tables([found]), *attribute_tables(found), *sequence_tables(found, found.entries),
                  *difference_tables([found], Bootstrap(5, 0)))  # fmt: skip
        return min((render_table(table, form) for table in tables), key=lambda text: text.count("5 of 100 sequences"))

    assert "PART, 5 of 100 sequences: not the whole set" in report()
    assert report().count("5 of 100 sequences") > 1, "in the warning alone, and not beside the numbers"
    names = {"otb100": lambda: map(str, range(5))}
    monkeypatch.setitem(DATASETS, "otb", DATASETS["otb"]._replace(names=names))
    assert "of 100 sequences" not in report() and "part of" not in report().lower()


def test_a_sequence_that_is_gone_since_it_was_tracked_makes_the_rest_a_part():
    found = (*(video.name for video in VIDEOS), "gone")
    ours, others = (results("a", manifest=manifest, found=found) for manifest in ({"benchmark": "own"}, None))
    assert comparison(("a", [ours]), benchmark="own").title == "part of own (5 of 6 sequences)"
    one_line = replace(VIDEOS[0], name="gone", boxes=VIDEOS[0].boxes[:1])
    assert compare("own", (*VIDEOS, one_line), [("a", [ours])], ("pytracking",), NONE).title == "own"
    # A folder of others may hold texts of anything.
    assert comparison(("a", [others]), benchmark="own").title == "own"


def test_a_part_by_attribute_is_a_set_of_its_own_and_several_runs_are_averaged():
    found = comparison(("a", [results("x", seed=1), results("y", seed=2)]))
    part = (VIDEOS[0], VIDEOS[3])
    values = [scored(part, noisy(0.2, seed)).values("pytracking")["AUC"] for seed in (1, 2)]
    mean, deviation, *_ = found.entries[0].part_values("pytracking", found.attributes["FM"])["AUC"]
    assert mean == pytest.approx(np.mean(values)) and deviation == pytest.approx(np.std(values, ddof=1))


# Tables


def test_rows_are_trackers_and_columns_scores_under_benchmark_and_protocol():
    one, other = comparison(), comparison(benchmark="nfs", protocols=("grm",))
    [table] = score_tables([one, other])
    assert [row.label for row in table.rows] == ["a", "b"]
    about = "part of otb (5 of 100 sequences), protocol pytracking; part of nfs (5 of 100 sequences), protocol grm"
    assert table.heading == f"Scores in percent, {about}"
    names = ("AUC", "OP50", "OP75", "P", "Pnorm")
    assert table.columns == (*(f"otb {name}" for name in names), *(f"nfs {name}" for name in names))
    assert table.rows[1].cells[0].value == one.entries[1].values("pytracking")["AUC"].value
    assert table.rows[1].cells[5].value == other.entries[1].values("grm")["AUC"].value
    assert table.name == "scores"


def test_several_protocols_have_a_table_each_and_scores_can_be_chosen():
    tables = score_tables([comparison(protocols=("pytracking", "got10k", "lasot"))], ("P", "AO"))
    assert [table.name for table in tables] == ["scores_pytracking", "scores_got10k", "scores_lasot"]
    assert [table.columns for table in tables] == [("P",), ("AO",), ("P",)]
    found = comparison(protocols=("pytracking", "got10k"))
    assert [table.name for table in score_tables([found], ("AO",))] == ["scores_got10k"]
    assert [table.name for table in difference_tables([found], Bootstrap(5, 0), ("AO",))] == ["differences_got10k"]


def test_a_benchmark_of_which_nothing_was_scored_keeps_a_column():
    cut = replace(results("a"), boxes=lambda each: each.boxes[:-1])
    [table] = score_tables([comparison(), comparison(("a", [cut]), benchmark="lasot", protocols=("lasot",))])
    assert table.columns[-1] == "lasot no score"
    assert table.rows[0].cells[-1] == Cell(None)


def test_several_runs_are_mean_and_deviation_with_their_number():
    found = comparison(("a", [results("x", seed=1), results("y", seed=2), results("z", seed=3)]), ("b", [results("b")]))
    [table] = score_tables([found])
    assert [row.label for row in table.rows] == ["a (3 runs)", "b"]
    values = [scored(VIDEOS, noisy(0.2, seed)).values("pytracking")["AUC"] for seed in (1, 2, 3)]
    cell = table.rows[0].cells[0]
    assert cell.value == pytest.approx(np.mean(values)) and cell.deviation == pytest.approx(np.std(values, ddof=1))
    assert table.rows[1].cells[0].deviation is None
    assert "sample deviation" in table.title
    [table] = score_tables([found, comparison(("a", [results("x")]), benchmark="nfs", protocols=("grm",))])
    assert [row.label for row in table.rows] == ["a (runs: otb 3, nfs 1)", "b"]
    assert [cell.value is None for cell in table.rows[1].cells] == [False] * 5 + [True] * 5


def test_no_set_score_where_a_sequence_is_missing_and_below_stands_which_and_why():
    found = comparison(("a", [replace(results("a"), boxes=lacking("video1"))]), ("b", [results("b")]))
    [table] = score_tables([found])
    assert all(cell == Cell(None) for cell in table.rows[0].cells)
    assert all(cell.value is not None for cell in table.rows[1].cells)
    assert (
        "otb, a: NO SET SCORE by protocol pytracking: 1 of 5 sequences could not be scored: video1: "
        "/raw/video1.txt: no such file"
    ) in table.below
    assert not found.is_complete()
    assert comparison().is_complete()


def test_a_missing_sequence_is_incomplete_also_for_the_protocol_that_scores_it():
    found = comparison(("a", [replace(results("a"), boxes=lacking("video1"))]), protocols=("trackingnet",))
    assert found.entries[0].values("trackingnet")
    assert not found.is_complete()
    [line] = [line for line in remarks(found, ["trackingnet"]) if "own rule" in line]
    assert line == (
        "otb, a: protocol trackingnet, by its own rule: 33 row(s) without a result taken as boxes of zeros, in 1 "
        "sequence(s): video1"
    )


def test_remarks_share_a_line_where_protocols_agree_and_count_what_is_not_shown():
    found = comparison(
        ("a", [replace(results("a", manifest={"overrides": {"model.x": 0.4}}), boxes=lambda each: each.boxes[:-2])]),
        protocols=("pytracking", "ostrack", "lasot", "trackingnet"),
    )
    many = replace(found, entries=compare("otb", sequences(30), [("a", [
        replace(results("a"), boxes=lambda each: each.boxes[:-2])
    ])], found.protocols, NONE).entries)  # fmt: skip
    lines = remarks(found, found.protocols)
    assert lines[0] == "otb, a: results of /results/a (a toy)"
    assert lines[1] == "otb, a: settings of this benchmark: model.x=0.4"
    names = "video0, video1, video2, video3, video4"
    assert (
        "otb, a: protocol pytracking, ostrack, by its own rule: 10 missing row(s) taken as boxes of zeros, in 5 "
        f"sequence(s): {names}"
    ) in lines
    assert (
        f"otb, a: protocol trackingnet, by its own rule: 10 missing row(s) are misses, in 5 sequence(s): {names}"
        in lines
    )
    assert any(line.endswith("video3, video4 and 25 more") for line in remarks(many, found.protocols))
    assert (
        f"otb, a: NO SET SCORE by protocol lasot: 5 of 5 sequences could not be scored: {names}: 28 predicted boxes "
        "for 30 annotated frames (the reason of video0; JSON has all)"
    ) in lines


def test_attribute_tables_have_a_row_for_each_attribute_and_for_all():
    found = comparison()
    [table] = attribute_tables(found)
    labels = ["FM Fast Motion (2)", "OCC Occlusion (1)", "SV Scale Variation (2)", "all (5)"]
    assert [row.label for row in table.rows] == labels
    assert table.columns == ("a", "b")
    expected = scored((VIDEOS[0], VIDEOS[3]), noisy(0.3)).values("pytracking")["AUC"]
    assert table.rows[0].cells[1].value == pytest.approx(expected)
    assert table.rows[-1].cells[0].value == found.entries[0].values("pytracking")["AUC"].value
    names = [table.name for table in attribute_tables(found, ("P", "AUC"))]
    assert names == ["attributes_otb_pytracking_P", "attributes_otb_pytracking_AUC"]


def test_an_attribute_has_a_score_where_only_other_sequences_failed():
    found = comparison(("a", [replace(results("a"), boxes=lacking("video1"))]))
    [table] = attribute_tables(found)
    assert [row.cells[0].value is None for row in table.rows] == [False, True, False, True]


def test_sequences_are_sorted_by_the_difference_of_two_trackers():
    found = comparison(("a", [results("a", 0.1)]), ("b", [replace(results("b"), boxes=lacking("video2", 0.3))]))
    [table] = sequence_tables(found, found.entries)
    assert table.columns == ("a", "b", "difference")
    rows = [(row.label, *(cell.value for cell in row.cells)) for row in table.rows]
    differences = [difference for *_, difference in rows]
    assert differences[-1] is None and rows[-1][0] == "video2" and rows[-1][1] is not None
    assert differences[:-1] == sorted(differences[:-1], reverse=True)
    assert differences[:-1] == [first - second for _, first, second, _ in rows[:-1]]
    assert {label for label, *_ in rows} == {video.name for video in VIDEOS}


def test_differences_have_paired_intervals():
    bootstrap = Bootstrap(50, 1)
    found = comparison(("a", [results("a", 0.1)]), ("b", [results("b", 0.2)]), ("c", [results("c", 0.3)]))
    [table] = difference_tables([found], bootstrap)
    assert [row.label for row in table.rows] == ["b", "c"]
    a, _, c = found.entries
    ends = difference_intervals(c, a, "pytracking", bootstrap.draw(len(VIDEOS)))["AUC"]
    value = c.values("pytracking")["AUC"].value - a.values("pytracking")["AUC"].value
    assert table.rows[1].cells[0] == Cell(value, None, *ends)
    assert "N = 50, seed 1" in table.title and table.signed
    [table] = difference_tables([found], bootstrap, ("P",), against="b")
    assert [row.label for row in table.rows] == ["a", "c"] and table.columns == ("P",)


def test_nothing_that_could_be_scored_is_a_table_of_dashes():
    found = comparison(("a", [replace(results("a"), boxes=lambda each: each.boxes[:-1])]), protocols=("pysot",))
    [table] = score_tables([found])
    assert table.rows[0].cells == (Cell(None),) and found.score_names("pysot") == []
    assert attribute_tables(found) == [] == sequence_tables(found, found.entries)
    assert difference_tables([found], Bootstrap(5, 0))[0].rows == ()


# JSON and pictures


def test_plain_types_hold_everything():
    found = with_intervals(
        comparison(
            ("a", [results("x", seed=1), results("y", seed=2)]),
            ("b", [replace(results("b", manifest={"overrides": {}}), boxes=lacking("video1"))]),
            protocols=("pytracking", "got10k"),
        ),
        Bootstrap(20, 0),
    )
    content = json.loads(json.dumps(plain_comparison(found), allow_nan=False))
    first, second = content["trackers"]
    score = first["scores"]["pytracking"]["AUC"]
    assert score["mean"] == found.entries[0].values("pytracking")["AUC"].value and score["deviation"] > 0
    assert score["interval"] == list(found.entries[0].intervals["pytracking"]["AUC"])
    curve = first["curves"]["pytracking"]["success"]
    assert len(curve["thresholds"]) == len(curve["shares"]) == 21
    assert np.mean(curve["shares"]) == pytest.approx(score["mean"])
    assert first["curves"]["got10k"].keys() == {"success"}
    assert first["attributes"]["FM"]["pytracking"]["AUC"]["mean"] > 0
    assert first["runs"][0]["sequences"]["video2"]["scores"]["got10k"]["AO"] > 0
    assert second["scores"] == {"pytracking": {}, "got10k": {}} and second["curves"]["pytracking"] == {}
    assert second["runs"][0]["errors"]["pytracking"] == {"video1": "/raw/video1.txt: no such file"}
    assert second["runs"][0]["missing"] == {"video1": "/raw/video1.txt: no such file"}
    assert second["runs"][0]["manifest"] == {"overrides": {}} and first["runs"][0]["manifest"] is None
    assert content["attributes"]["OCC"] == {"name": "Occlusion", "sequences": ["video1"]}
    assert content["sequences"]["video1"] == 33


def test_what_is_no_number_is_null():
    def broken(video):
        return np.where(np.arange(len(video))[:, None] == 5, np.nan, video.boxes)

    found = comparison(("a", [replace(results("a"), boxes=broken)]), protocols=("got10k",))
    content = json.loads(json.dumps(plain_comparison(found), allow_nan=False))
    assert content["trackers"][0]["scores"]["got10k"]["AO"]["mean"] is None
    assert content["trackers"][0]["scores"]["got10k"]["SR0.5"]["mean"] > 0.5


def test_plots_of_every_protocol_and_attribute(tmp_path: Path, monkeypatch):
    files: list[Path] = []
    monkeypatch.setattr("lib.evaluation.reports.figures.write_figure", lambda figure, *named: files.extend(named))
    found = comparison(
        ("a", [results("x", seed=1), results("y", seed=2)]),
        ("b", [replace(results("b"), boxes=lacking("video1"))]),
        protocols=("pytracking", "got10k"),
    )
    write_figures(found, tmp_path, by_attribute=True)
    assert {file.name for file in files} == {
        f"otb_{stem}.{ending}"
        for stem in (
            *(f"pytracking_{kind}" for kind in ("success", "precision", "norm_precision")), "got10k_success",
            *(f"{name}_{what}" for name in ("pytracking", "got10k") for what in
              ("attributes", "success_FM", "success_OCC", "success_SV")),
        )
        for ending in ("pdf", "png")
    }  # fmt: skip


def test_no_plots_of_nothing(tmp_path: Path):
    found = comparison(("a", [replace(results("a"), boxes=lambda each: each.boxes[:-1])]), protocols=("pysot",))
    write_figures(found, tmp_path, by_attribute=True)
    assert list(tmp_path.iterdir()) == []


def test_the_widest_gap_between_three_trackers_comes_first_and_one_tracker_keeps_the_order():
    found = comparison(*((name, [results(name, level)]) for name, level in (("a", 0.1), ("b", 0.2), ("c", 0.3))))
    [table] = sequence_tables(found, found.entries)
    assert table.columns == ("a", "b", "c", "widest gap")
    gaps = [row.cells[3].value for row in table.rows]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps == [max(v) - min(v) for v in ([cell.value for cell in row.cells[:3]] for row in table.rows)]
    [table] = sequence_tables(found, found.entries[:1])
    assert [row.label for row in table.rows] == [video.name for video in VIDEOS]
