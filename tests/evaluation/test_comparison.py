"""Runs of one tracker: one without a score leaves none, and their curve is the mean."""

import numpy as np
import pytest

from lib.evaluation.reports.comparison import CURVES, ComparedTracker
from tests.evaluation.toy_sets import noisy, scored, sequences


def entry(*runs) -> ComparedTracker:
    return ComparedTracker("toy", runs)


def test_a_run_without_a_set_score_leaves_the_tracker_without():
    whole, cut = scored(sequences(3), noisy(0.2)), scored(sequences(3), lambda each: each.boxes[:-1])
    assert cut.values("lasot") == {}
    assert entry(whole, cut).values("lasot") == {}
    assert entry(whole, cut).curve("lasot", "success") is None
    assert entry().values("lasot") == {}


@pytest.mark.parametrize("kind", CURVES)
def test_the_curve_of_several_runs_is_their_mean(kind):
    runs = [scored(sequences(3), noisy(0.2, seed)) for seed in range(2)]
    expected = sum(getattr(run.curves("lasot"), kind) for run in runs) / 2
    assert np.allclose(entry(*runs).curve("lasot", kind), expected, rtol=0, atol=1e-15)
    assert (entry(*runs).curve("got10k", kind) is None) == (kind != "success")
