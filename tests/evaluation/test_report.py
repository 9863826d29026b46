"""The table and the JSON say the protocol's numbers, of which sequences, and what is missing from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.data.datasets.registry import find_dataset
from lib.data.types import Sequence
from lib.evaluation.benchmarks import BENCHMARKS
from lib.evaluation.metrics.protocols import PROTOCOLS
from lib.evaluation.metrics.scoring import annotation_of
from lib.evaluation.reports.report import score_benchmark, table
from lib.evaluation.results.folder import ResultsFolder, open_results
from lib.evaluation.running.baselines import StaticEngine
from lib.evaluation.running.runner import Trial, run_trials

LOCAL = [name for name, entry in BENCHMARKS.items() if not entry.server]


@pytest.fixture
def sequences(make_sequence: Callable[..., Sequence]) -> list[Sequence]:
    return [make_sequence(f"s{i}", frames=4 + 3 * i, first=(10 + 20 * i, 12, 16, 14)) for i in range(3)]


def open_toy(output: Path, benchmark: str = "got10k_val", overrides: dict[str, Any] | None = None) -> ResultsFolder:
    return open_results(output, "toy", benchmark, None, {}, "cpu", label="toy", overrides=overrides)


def track(sequences: list[Sequence], folder: ResultsFolder) -> None:
    run_trials([Trial(sequences, lambda most: StaticEngine(), folder)])


def first_box(sequence: Sequence) -> np.ndarray:
    return np.repeat(sequence.boxes[:1], len(sequence), axis=0)


@pytest.mark.parametrize("benchmark", LOCAL)
def test_scores_are_the_benchmarks_protocols_own(tmp_path: Path, sequences: list[Sequence], benchmark: str) -> None:
    folder = open_toy(tmp_path, benchmark)
    track(sequences, folder)
    score = score_benchmark(benchmark, sequences, folder)
    protocol = PROTOCOLS[BENCHMARKS[benchmark].protocol]
    curves = [protocol.score(annotation_of(sequence, benchmark), first_box(sequence)) for sequence in sequences]
    assert score.values == protocol.values(protocol.join(curves))
    assert list(score.by_sequence().values()) == [protocol.values(entry) for entry in curves]
    assert not score.errors
    numbers = [word for name, value in score.values.items() for word in (name, f"{100 * value:.2f}")]
    row = table([score]).splitlines()[1].split()
    assert row[: len(numbers) + 4] == [benchmark, folder.path.name, score.protocol, *numbers, "3/3"]


def test_a_set_with_a_sequence_that_cannot_be_scored_has_no_score_and_says_why(
    tmp_path: Path, sequences: list[Sequence]
) -> None:
    folder = open_toy(tmp_path, "otb")
    track(sequences[:2], folder)
    rows = folder.boxes(sequences[1])
    rows[2] = np.nan
    np.savetxt(folder.path / "s1.txt", rows, delimiter=",")
    score = score_benchmark("otb", sequences, folder)
    assert score.values == {}
    assert list(score.errors) == ["s1", "s2"]
    assert list(score.by_sequence()) == ["s0"]
    # The rest of the protocols judge by their own rules, and the sequence without a result is missing from all.
    assert "s1" not in score.scores.errors("trackingnet")
    assert all("s2" in score.scores.errors(name) for name in PROTOCOLS)
    text = table([score, score_benchmark("otb", sequences[:1], folder)]).splitlines()
    assert text[1].split()[3:5] == ["-", "1/3"]
    assert text[2].endswith("1/1 (part: 1 of 100 sequences)")
    assert any("INCOMPLETE, 2 of 3 sequences failed: the pytracking protocol gives no score" in line for line in text)
    assert any("FAILED s1: a predicted box is not a number" in line for line in text)
    assert any("FAILED s2: " in line and "s2.txt" in line for line in text)


def test_a_sequence_that_is_never_visible_counts_no_frame_and_is_no_error(
    tmp_path: Path, sequences: list[Sequence]
) -> None:
    folder = open_toy(tmp_path)
    track(sequences[:2], folder)
    hidden = replace(sequences[1], cover=np.zeros(len(sequences[1]), int))
    score = score_benchmark("got10k_val", [sequences[0], hidden], folder)
    assert not score.errors
    assert np.isnan(score.by_sequence()["s1"]["AO"])
    assert score.values == score_benchmark("got10k_val", sequences[:1], folder).values
    assert score.as_dict()["sequences"]["s1"]["scores"]["got10k"]["AO"] is None


@pytest.mark.parametrize("benchmark", [name for name, entry in BENCHMARKS.items() if entry.server])
def test_the_servers_benchmark_is_only_checked_to_be_complete(
    tmp_path: Path, sequences: list[Sequence], benchmark: str
) -> None:
    folder = open_toy(tmp_path, benchmark)
    first_only = [replace(s, boxes=s.boxes[:1], visible=s.visible[:1], cover=None) for s in sequences]
    track(first_only[:2], folder)
    score = score_benchmark(benchmark, first_only, folder)
    assert score.scores is None and score.values == {}
    assert list(score.errors) == ["s2"]
    text = table([score])
    assert text.splitlines()[1].split()[2:5] == [BENCHMARKS[benchmark].protocol, "-", "2/3"]
    assert f"PART, 3 of {BENCHMARKS[benchmark].expected} sequences: not the whole set" in text
    assert f"{BENCHMARKS[benchmark].server} scores these results" in text
    assert score.as_dict()["scored_by"] == BENCHMARKS[benchmark].server


def test_json_holds_every_protocols_numbers_the_manifest_and_the_errors(
    tmp_path: Path, sequences: list[Sequence]
) -> None:
    folder = open_toy(tmp_path, overrides={"model.division.threshold": 0.4})
    track(sequences, folder)
    score = score_benchmark("got10k_val", sequences, folder)
    content = json.loads(json.dumps(score.as_dict(), allow_nan=False))
    assert content["scores"] == {name: score.scores.values(name) for name in PROTOCOLS}
    assert content["success_curve"] == score.curves.success.tolist() and len(content["success_curve"]) == 101
    assert (content["protocol"], content["errors"]) == ("got10k", {})
    assert content["manifest"] == folder.manifest()
    assert content["sequences"]["s2"]["scores"]["lasot"] == score.scores.sequences[2].values("lasot")
    assert "settings of this benchmark: model.division.threshold=0.4" in table([score])


def test_a_sequence_with_its_first_frame_annotated_only_is_tracked_and_not_scored(
    tmp_path: Path, sequences: list[Sequence]
) -> None:
    """Else it would be scored on the one frame in which the box was given: as perfect."""
    folder = open_toy(tmp_path, "own")
    given = replace(sequences[1], boxes=sequences[1].boxes[:1], visible=sequences[1].visible[:1], cover=None)
    track([sequences[0], given], folder)
    score = score_benchmark("own", [sequences[0], given], folder)
    assert score.values == score_benchmark("own", sequences[:1], folder).values
    assert not score.errors
    assert "1 of 2 sequences have their first frame annotated only: they are tracked, not scored" in table([score])
    alone = score_benchmark("own", [given, replace(given, name="missing")], folder)
    assert alone.values == {} and list(alone.errors) == ["missing"]


def test_a_part_of_a_benchmark_is_called_one_beside_its_number_and_below(
    tmp_path: Path, sequences: list[Sequence], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = open_toy(tmp_path, "dtb70")
    track(sequences, folder)
    score = score_benchmark("dtb70", sequences, folder)
    assert (score.part, score.others, score.as_dict()["part"]) == ("3 of 70 sequences", (), "3 of 70 sequences")
    _, row, note = table([score]).splitlines()
    assert row.endswith("3/3 (part: 3 of 70 sequences)")
    assert note == f"dtb70 {folder.path.name}: PART, 3 of 70 sequences: not the whole set"
    monkeypatch.setitem(find_dataset("dtb70").expected, "test", 3)
    whole = score_benchmark("dtb70", sequences, folder)
    assert whole.values == score.values and whole.part == "" == whole.as_dict()["part"]
    assert "part" not in table([whole]).lower()


def test_own_data_are_whole_unless_sequences_are_left_out_or_gone(tmp_path: Path, sequences: list[Sequence]) -> None:
    folder = open_toy(tmp_path, "own")
    track(sequences, folder)
    whole = score_benchmark("own", sequences, folder)
    assert (whole.part, whole.others) == ("", ()) and "PART" not in table([whole])
    chosen = score_benchmark("own", sequences[:1], folder, left_out=["s1", "s2"])
    gone = score_benchmark("own", sequences[:1], folder, {"s2": "no such file"})
    assert (chosen.part, chosen.others) == ("1 of 3 sequences", ("s1", "s2"))
    assert (gone.part, gone.others) == ("2 of 3 sequences", ("s1",))
    for score, others in ((chosen, "s1, s2"), (gone, "s1")):
        note = f"PART, {score.part}: not the whole set, without {others}; score.json is left alone"
        assert note in table([score])


def test_frames_that_a_protocol_takes_as_invalid_are_counted_below_the_table_and_in_json(
    tmp_path: Path, sequences: list[Sequence]
) -> None:
    folder = open_toy(tmp_path, "otb")
    at_border = [replace(each, boxes=each.boxes.copy()) for each in sequences]
    at_border[0].boxes[1:3, 0] = 0
    at_border[2].boxes[4, 1] = -2
    track(at_border, folder)
    score = score_benchmark("otb", at_border, folder)
    what = "frame(s) taken as invalid, as the annotated x or y is 0 or less"
    assert f"protocol pytracking, by its own rule: 3 {what}, in 2 sequence(s): s0, s2" in table([score])
    kept = {name: entry["notes"] for name, entry in score.as_dict()["sequences"].items()}
    assert [kept[name].get("pytracking") for name in ("s0", "s1", "s2")] == [[f"2 {what}"], None, [f"1 {what}"]]
