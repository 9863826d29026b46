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
def test_a_tracker_of_a_module_of_ones_own(tmp_path: Path, make_sequence, monkeypatch, capfd):
    """In a current folder that has other modules of this project's names; a network that cannot be built is named."""
    (tmp_path / "elsewhere" / "lib").mkdir(parents=True)
    (tmp_path / "own_engine.py").write_text(ENGINE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path / "elsewhere")
    import own_engine

    monkeypatch.setitem(sys.modules, "own_engine", own_engine)  # forgotten afterwards
    sequences = [make_sequence(f"s{number}") for number in range(2)]
    trials = [
        Trial(each, open_results(tmp_path / "output", each.__name__, "got10k_val", None, {}, "cpu"))
        for each in (own_engine.make, own_engine.fail)
    ]
    report = run_trials(Readable(sequences, {}), trials, processes=2)
    statuses = [[status.status for status in summary.sequences] for summary in report.summaries]
    assert statuses == [["tracked"] * 2, ["failed"] * 2]
    assert report.processes == 2 and "error: no weights" in capfd.readouterr().err
