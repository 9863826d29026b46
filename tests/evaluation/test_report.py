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
from lib.evaluation.baselines import StaticTracker
from lib.evaluation.benchmarks import BENCHMARKS
from lib.evaluation.metrics import got10k_overlaps, got10k_scores
from lib.evaluation.report import COMPUTED, score_benchmark, table
from lib.evaluation.results import ResultsFolder, open_results
from lib.evaluation.runner import run_benchmark

WIDTH, HEIGHT = 80, 60


@pytest.fixture
def sequences(make_sequence: Callable[..., Sequence]) -> list[Sequence]:
    return [make_sequence(f"s{i}", frames=4 + 3 * i, first=(10 + 20 * i, 12, 16, 14)) for i in range(3)]


def open_toy(output: Path, benchmark: str = "got10k_val", overrides: dict[str, Any] | None = None) -> ResultsFolder:
    return open_results(output, "toy", benchmark, None, {}, "cpu", label="toy", overrides=overrides)


def test_scores_are_the_protocols_over_pooled_frames(tmp_path: Path, sequences: list[Sequence]) -> None:
    folder = open_toy(tmp_path)
    run_benchmark(sequences, lambda number: StaticTracker(), folder)
    score = score_benchmark("got10k_val", sequences, folder)
    overlaps = [
        got10k_overlaps(s.boxes, np.repeat(s.boxes[:1], len(s), axis=0), s.cover, WIDTH, HEIGHT) for s in sequences
    ]
    expected = got10k_scores(np.concatenate(overlaps))
    assert not score.errors
    assert (score.overall.ao, score.overall.sr50, score.overall.sr75) == (expected.ao, expected.sr50, expected.sr75)
    assert [entry.scores.ao for entry in score.sequences] == [got10k_scores(frames).ao for frames in overlaps]
    line = table([score]).splitlines()[1]
    numbers = [f"{number:.3f}" for number in (expected.ao, expected.sr50, expected.sr75)]
    assert line.split() == ["got10k_val", folder.path.name, "got10k", *numbers, "3/3"]


def test_what_cannot_be_scored_is_left_out_and_said(tmp_path: Path, sequences: list[Sequence]) -> None:
    folder = open_toy(tmp_path)
    run_benchmark(sequences[:2], lambda number: StaticTracker(), folder)
    spoilt = replace(sequences[1], boxes=sequences[1].boxes.copy())
    spoilt.boxes[2] = np.nan
    score = score_benchmark("got10k_val", [sequences[0], spoilt, sequences[2]], folder)
    only = score_benchmark("got10k_val", sequences[:1], folder)
    assert score.overall.ao == only.overall.ao
    assert [entry.name for entry in score.errors] == ["s1", "s2"]
    text = table([score, only]).splitlines()
    assert text[1].endswith("1/3")
    assert text[2].endswith("1/1")
    assert any("INCOMPLETE, 2 of 3" in line for line in text)
    assert any("FAILED s1: the ground truth of frame 2" in line for line in text)
    assert any("FAILED s2: " in line and "s2.txt" in line for line in text)


def test_a_sequence_that_is_never_visible_has_no_score_and_is_no_error(
    tmp_path: Path, sequences: list[Sequence]
) -> None:
    folder = open_toy(tmp_path)
    run_benchmark(sequences[:2], lambda number: StaticTracker(), folder)
    hidden = replace(sequences[1], cover=np.zeros(len(sequences[1]), int))
    score = score_benchmark("got10k_val", [sequences[0], hidden], folder)
    assert not score.errors
    assert score.sequences[1].scores is None
    assert score.overall.frames == len(sequences[0]) - 1


def test_the_servers_benchmark_is_only_checked_to_be_complete(tmp_path: Path, sequences: list[Sequence]) -> None:
    folder = open_toy(tmp_path, "got10k_test")
    first_only = [replace(s, boxes=s.boxes[:1], visible=s.visible[:1], cover=None) for s in sequences]
    run_benchmark(first_only[:2], lambda number: StaticTracker(), folder)
    score = score_benchmark("got10k_test", first_only, folder)
    assert score.overall is None
    assert [entry.name for entry in score.errors] == ["s2"]
    text = table([score])
    assert text.splitlines()[1].split()[3:] == ["-", "-", "-", "2/3"]
    assert "the GOT-10k server (got-10k.aitestunion.com) scores these results" in text


@pytest.mark.parametrize("benchmark", [name for name, entry in BENCHMARKS.items() if entry.protocol not in COMPUTED])
def test_a_protocol_that_is_not_computed_yet_gives_no_number_and_no_error(
    tmp_path: Path, sequences: list[Sequence], benchmark: str
) -> None:
    folder = open_toy(tmp_path, benchmark)
    uncovered = [replace(sequence, cover=None) for sequence in sequences]
    run_benchmark(uncovered, lambda number: StaticTracker(), folder)
    score = score_benchmark(benchmark, uncovered, folder)
    assert score.overall is None and not score.errors
    assert [entry.scores for entry in score.sequences] == [None] * 3
    header, line, note = table([score]).splitlines()
    protocol = BENCHMARKS[benchmark].protocol
    assert line.split() == [benchmark, folder.path.name, protocol, "-", "-", "-", "3/3"]
    assert header.index("protocol") == line.index(f" {protocol} ") + 1
    content = json.loads(json.dumps(score.as_dict(), allow_nan=False))
    assert content["overall"] is None
    if BENCHMARKS[benchmark].server:
        assert content["scored_by"] == BENCHMARKS[benchmark].server
    else:
        assert content["scored_by"] == "nobody yet"
        assert note == (
            f"{benchmark} {folder.path.name}: the results are complete and on disk, but scores by the {protocol} "
            "protocol are not computed yet"
        )


def test_a_protocol_that_is_not_computed_yet_still_says_what_is_missing(
    tmp_path: Path, sequences: list[Sequence]
) -> None:
    folder = open_toy(tmp_path, "otb")
    run_benchmark(sequences[:2], lambda number: StaticTracker(), folder)
    score = score_benchmark("otb", sequences, folder)
    assert [entry.name for entry in score.errors] == ["s2"]
    text = table([score]).splitlines()
    assert text[1].endswith("-  2/3")
    assert text[2] == f"otb {folder.path.name}: scores by the pytracking protocol are not computed yet"
    assert "INCOMPLETE, 1 of 3" in text[3] and "FAILED s2: " in text[4]


def test_json_holds_the_numbers_the_manifest_and_the_errors(tmp_path: Path, sequences: list[Sequence]) -> None:
    folder = open_toy(tmp_path, overrides={"model.division.threshold": 0.4})
    run_benchmark(sequences[:2], lambda number: StaticTracker(), folder)
    score = score_benchmark("got10k_val", sequences, folder)
    content = json.loads(json.dumps(score.as_dict(), allow_nan=False))
    assert content["overall"]["ao"] == score.overall.ao
    assert len(content["overall"]["success_curve"]) == 101
    assert content["protocol"] == "got10k"
    assert content["manifest"] == folder.manifest()
    assert content["sequences"]["s2"]["scores"] is None
    assert "s2.txt" in content["sequences"]["s2"]["error"]
    assert "settings of this benchmark: model.division.threshold=0.4" in table([score])
