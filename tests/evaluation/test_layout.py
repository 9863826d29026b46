"""Scores of our own results folders: the table and the JSON have the protocol's numbers and what they lack."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.data.types import Sequence
from lib.evaluation.benchmarks import BENCHMARKS, Readable
from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.metrics.scoring import annotation_of
from lib.evaluation.reports.comparison import Comparison, compare
from lib.evaluation.reports.layout import score_tables
from lib.evaluation.reports.plain import plain_score
from lib.evaluation.reports.tables import render_table
from lib.evaluation.results.folder import ResultsFolder, open_results
from lib.evaluation.results.lookup import open_result_set
from lib.evaluation.running.baselines import StaticEngine
from lib.evaluation.running.runner import Trial, run_trials

BY_PROTOCOL = {entry.protocol: name for name, entry in BENCHMARKS.items() if not entry.server}


@pytest.fixture
def sequences(make_sequence: Callable[..., Sequence]) -> list[Sequence]:
    return [make_sequence(f"s{i}", frames=4 + 3 * i, first=(10 + 20 * i, 12, 16, 14)) for i in range(3)]


def open_toy(output: Path, benchmark: str = "got10k_val", overrides: dict[str, Any] | None = None) -> ResultsFolder:
    return open_results(output, "toy", benchmark, None, {}, "cpu", label="toy", overrides=overrides)


def track(sequences: list[Sequence], folder: ResultsFolder) -> None:
    run_trials(Readable(sequences, {}), [Trial(lambda most: StaticEngine(), folder)])


def first_box(sequence: Sequence) -> np.ndarray:
    return np.repeat(sequence.boxes[:1], len(sequence), axis=0)


def score(benchmark: str, sequences: list[Sequence], folder: ResultsFolder, failed=None, left_out=()) -> Comparison:
    """By every protocol; ``failed`` are the reasons of sequences without a result."""
    label = folder.path.name
    groups = [(label, [open_result_set(folder.path, benchmark)])]
    found = compare(benchmark, sequences, groups, tuple(PROTOCOLS), failures={label: failed or {}}, left_out=left_out)
    own = BENCHMARKS[benchmark]
    return replace(found, protocols=() if own.server else (own.protocol,))


def values(comparison: Comparison) -> dict[str, float]:
    return comparison.runs[0].values(BENCHMARKS[comparison.benchmark].protocol)


def errors(comparison: Comparison) -> dict[str, str]:
    return comparison.runs[0].errors(BENCHMARKS[comparison.benchmark].protocol)


def by_sequence(comparison: Comparison) -> dict[str, dict[str, float]]:
    [protocol] = comparison.protocols
    return {each.name: each.values(protocol) for each in comparison.runs[0].sequences if each.curves}


def text_of(comparison: Comparison) -> str:
    return render_table(score_tables([comparison], counts=True)[0], "text", digits=2)


def json_of(comparison: Comparison) -> dict[str, Any]:
    content = plain_score(comparison, comparison.runs[0])
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    return content


@pytest.mark.parametrize("benchmark", BY_PROTOCOL.values())
def test_scores_are_the_benchmarks_protocols_own(tmp_path: Path, sequences: list[Sequence], benchmark: str) -> None:
    folder = open_toy(tmp_path, benchmark)
    track(sequences, folder)
    found = score(benchmark, sequences, folder)
    protocol = PROTOCOLS[BENCHMARKS[benchmark].protocol]
    curves = [protocol.score(annotation_of(sequence, benchmark), first_box(sequence)) for sequence in sequences]
    assert values(found) == protocol.values(protocol.join(curves))
    assert list(by_sequence(found).values()) == [protocol.values(entry) for entry in curves]
    assert not errors(found) and found.is_complete()
    lines = [line.split() for line in text_of(found).splitlines()]
    assert ["tracker", *values(found), "sequences"] in lines
    assert [folder.path.name, *(f"{100 * value:.2f}" for value in values(found).values()), "3/3"] in lines


def test_a_set_with_a_sequence_that_cannot_be_scored_has_no_score_and_says_why(
    tmp_path: Path, sequences: list[Sequence]
) -> None:
    folder = open_toy(tmp_path, "otb")
    track(sequences[:2], folder)
    rows = folder.boxes(sequences[1])
    rows[2] = np.nan
    np.savetxt(folder.path / "s1.txt", rows, delimiter=",")
    found = score("otb", sequences, folder, {"s2": "out of memory", "s3": "no images"})
    assert values(found) == {} and not found.is_complete()
    assert list(errors(found).items())[1:] == [("s2", "out of memory"), ("s3", "no images")]
    assert json_of(found)["errors"] == errors(found) and json_of(found)["part"] == "4 of 100 sequences"
    assert list(by_sequence(found)) == ["s0", "s1"] and by_sequence(found)["s1"] == {}
    # The rest of the protocols judge by their own rules, and the sequence without a result is missing from all.
    [scores] = found.runs
    assert "s1" not in scores.errors("trackingnet")
    assert all("s2" in scores.errors(name) for name in PROTOCOLS)
    lines = text_of(found).splitlines()
    [row] = [line.split() for line in lines if line.startswith("toy-")]
    assert row == [folder.path.name, *"-----", "1/4"]
    assert any("NO SET SCORE by protocol pytracking: 1 of 4" in line and "is not a number" in line for line in lines)
    assert any("NO SET SCORE by protocol pytracking: 1 of 4 sequences could not be scored: s2: " in x for x in lines)


def test_a_sequence_that_is_never_visible_counts_no_frame_and_is_no_error(
    tmp_path: Path, sequences: list[Sequence]
) -> None:
    folder = open_toy(tmp_path)
    track(sequences[:2], folder)
    hidden = replace(sequences[1], cover=np.zeros(len(sequences[1]), int))
    found = score("got10k_val", [sequences[0], hidden], folder)
    assert not errors(found)
    assert np.isnan(by_sequence(found)["s1"]["AO"])
    assert values(found) == values(score("got10k_val", sequences[:1], folder))
    assert json_of(found)["sequences"]["s1"]["scores"]["got10k"]["AO"] is None


@pytest.mark.parametrize("benchmark", [name for name, entry in BENCHMARKS.items() if entry.server])
def test_the_servers_benchmark_is_only_checked_to_be_complete(
    tmp_path: Path, sequences: list[Sequence], benchmark: str
) -> None:
    folder = open_toy(tmp_path, benchmark)
    first_only = [replace(s, boxes=s.boxes[:1], visible=s.visible[:1], cover=None) for s in sequences]
    track(first_only[:2], folder)
    found = score(benchmark, first_only, folder, {"s2": "out of memory"})
    assert list(errors(found)) == ["s2"] and not found.is_complete()
    text = text_of(found)
    assert [folder.path.name, "-", "2/3"] in [line.split() for line in text.splitlines()]
    count = {"got10k_test": 180, "trackingnet": 511}[benchmark]
    assert f"PART, 3 of {count} sequences: not the whole set" in text
    assert f"{BENCHMARKS[benchmark].server} scores these results" in text
    content = json_of(found)
    assert content["scored_by"] == BENCHMARKS[benchmark].server and content["scores"] == {}
    track(first_only, folder)
    assert score(benchmark, first_only, folder).is_complete()


def test_json_holds_every_protocols_numbers_the_manifest_and_the_errors(
    tmp_path: Path, sequences: list[Sequence]
) -> None:
    folder = open_toy(tmp_path, overrides={"model.division.threshold": 0.4})
    track(sequences, folder)
    found = score("got10k_val", sequences, folder)
    content, scores = json_of(found), found.runs[0]
    assert content["scores"] == {name: scores.values(name) for name in PROTOCOLS}
    assert content["success_curve"] == scores.curves("got10k").success.tolist()
    assert len(content["success_curve"]) == 101
    assert (content["protocol"], content["errors"]) == ("got10k", {})
    assert content["manifest"] == folder.manifest()
    assert content["sequences"]["s2"]["scores"]["lasot"] == scores.sequences[2].values("lasot")
    assert "settings of this benchmark: model.division.threshold=0.4" in text_of(found)


def test_a_sequence_with_its_first_frame_annotated_only_is_tracked_and_not_scored(
    tmp_path: Path, sequences: list[Sequence]
) -> None:
    """Else it would be scored on the one frame in which the box was given: as perfect."""
    folder = open_toy(tmp_path, "own")
    given = replace(sequences[1], boxes=sequences[1].boxes[:1], visible=sequences[1].visible[:1], cover=None)
    track([sequences[0], given], folder)
    found = score("own", [sequences[0], given], folder)
    assert values(found) == values(score("own", sequences[:1], folder, left_out=["s1"]))
    assert not errors(found) and found.is_complete()
    assert "1 of 2 sequences have their first frame annotated only and get no score" in text_of(found)
    alone = score("own", [given, replace(given, name="missing")], folder, {"missing": "out of memory"})
    assert values(alone) == {} and list(errors(alone)) == ["missing"] and not alone.is_complete()


def test_own_data_are_whole_unless_sequences_are_left_out_or_gone(tmp_path: Path, sequences: list[Sequence]) -> None:
    folder = open_toy(tmp_path, "own")
    track(sequences, folder)
    whole = score("own", sequences, folder)
    assert (whole.part, whole.others) == ("", ()) and "PART" not in text_of(whole)
    chosen = score("own", sequences[:1], folder, left_out=["s1", "s2"])
    gone = score("own", sequences[:1], folder, {"s2": "no such file"})
    assert (chosen.part, chosen.others) == ("1 of 3 sequences", ("s1", "s2"))
    assert (gone.part, gone.others) == ("2 of 3 sequences", ("s1",))
    for found, others in ((chosen, "s1, s2"), (gone, "s1")):
        assert f"PART, {found.part}: not the whole set, without {others}\n" in text_of(found)
