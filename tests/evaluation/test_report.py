"""The table and the JSON say the protocol's numbers, of which sequences, and what is missing from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lib.data.types import Sequence
from lib.evaluation.baselines import StaticEngine
from lib.evaluation.benchmarks import BENCHMARKS
from lib.evaluation.protocols import PROTOCOLS
from lib.evaluation.report import score_benchmark, table
from lib.evaluation.results import ResultsFolder, open_results
from lib.evaluation.runner import Trial, run_trials
from lib.evaluation.scoring import annotation_of

LOCAL = [name for name, entry in BENCHMARKS.items() if not entry.server]


@pytest.fixture
def sequences(make_sequence: Callable[..., Sequence]) -> list[Sequence]:
    return [make_sequence(f"s{i}", frames=4 + 3 * i, first=(10 + 20 * i, 12, 16, 14)) for i in range(3)]


def open_toy(output: Path, benchmark: str = "got10k_val", overrides: dict[str, Any] | None = None) -> ResultsFolder:
    return open_results(output, "toy", benchmark, None, {}, "cpu", label="toy", overrides=overrides)


def track(sequences: list[Sequence], folder: ResultsFolder) -> None:
    run_trials([Trial(sequences, lambda rows: StaticEngine(), folder)])


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
    assert table([score]).splitlines()[1].split() == [benchmark, folder.path.name, score.protocol, *numbers, "3/3"]


def test_a_set_with_a_sequence_that_cannot_be_scored_has_no_score_and_says_why(
    tmp_path: Path, sequences: list[Sequence]
) -> None:
    folder = open_toy(tmp_path, "otb")
    track(sequences[:2], folder)
    spoilt = replace(sequences[1], boxes=sequences[1].boxes.copy())
    spoilt.boxes[2] = np.nan
    score = score_benchmark("otb", [sequences[0], spoilt, sequences[2]], folder)
    assert score.values == {}
    assert list(score.errors) == ["s1", "s2"]
    assert list(score.by_sequence()) == ["s0"]
    # The rest of the protocols judge by their own rules, and the sequence without a result is missing from all.
    assert "s1" not in score.scores.errors("trackingnet")
    assert all("s2" in score.scores.errors(name) for name in PROTOCOLS)
    text = table([score, score_benchmark("otb", sequences[:1], folder)]).splitlines()
    assert text[1].endswith("-           1/3") or text[1].split()[-2:] == ["-", "1/3"]
    assert text[2].endswith("1/1")
    assert any("INCOMPLETE, 2 of 3 sequences failed: the pytracking protocol gives no score" in line for line in text)
    assert any("FAILED s1: the annotation has a box that is not a number" in line for line in text)
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
    assert text.splitlines()[1].split()[2:] == [BENCHMARKS[benchmark].protocol, "-", "2/3"]
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
