"""The processes of a run get its trackers as they are in the command, wherever they are imported from."""

import sys
from pathlib import Path

import pytest

from lib.evaluation.benchmarks import Readable
from lib.evaluation.results.folder import open_results
from lib.evaluation.running.runner import Trial, run_trials

ENGINE = """
from lib.evaluation.running.baselines import StaticEngine


def make(most):
    return StaticEngine()


def fail(most):
    raise ValueError("no weights; name others")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), [("make", "tracked"), ("fail", "failed")])
def test_a_tracker_of_a_module_of_ones_own(tmp_path: Path, make_sequence, monkeypatch, capfd, name, expected):
    """In a current folder that has other modules of this project's names."""
    (tmp_path / "elsewhere" / "lib").mkdir(parents=True)
    (tmp_path / "own_engine.py").write_text(ENGINE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path / "elsewhere")
    import own_engine

    monkeypatch.setitem(sys.modules, "own_engine", own_engine)  # forgotten afterwards
    sequences = [make_sequence(f"s{number}") for number in range(2)]
    folder = open_results(tmp_path / "output", "toy", "got10k_val", None, {}, "cpu")
    report = run_trials(Readable(sequences, {}), [Trial(getattr(own_engine, name), folder)], processes=2)
    [summary] = report.summaries
    assert [status.status for status in summary.sequences] == [expected] * 2
    assert report.processes == 2 and ("error: no weights" in capfd.readouterr().err) == (name == "fail")
