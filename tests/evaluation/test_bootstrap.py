"""The bootstrap equals a slow loop over drawn sequences by every protocol, and its intervals hold what they promise."""

import numpy as np
import pytest

from lib.evaluation.metrics.protocols import PROTOCOLS, Curves
from lib.evaluation.metrics.scoring import ScoredRun, SequenceScores
from lib.evaluation.reports.bootstrap import Bootstrap, difference_intervals, drawn_scores, interval, with_intervals
from lib.evaluation.reports.comparison import ComparedTracker, Comparison
from tests.evaluation.toy_sets import noisy, scored, sequences

VIDEOS = sequences(6)
SMALL = Bootstrap(times=40, seed=3)


def entry(label: str, *runs: ScoredRun) -> ComparedTracker:
    return ComparedTracker(label, runs)


def drawn(run: ScoredRun, protocol: str, draws: np.ndarray) -> dict[str, np.ndarray]:
    return drawn_scores(entry("toy", run), protocol, draws)


def one_by_one(scores: ScoredRun, protocol: str, draws: np.ndarray) -> dict[str, np.ndarray]:
    """The same by what the protocol itself makes of each drawn set."""
    rows = []
    for counts in draws.astype(int):
        drawn = [
            each.curves[protocol] for each, count in zip(scores.sequences, counts, strict=True) for _ in range(count)
        ]
        rows.append(PROTOCOLS[protocol].values(PROTOCOLS[protocol].join(drawn)))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def test_each_draw_has_as_many_sequences_and_the_seed_decides_which():
    draws = Bootstrap(500, 1).draw(20)
    assert draws.shape == (500, 20)
    assert (draws.sum(axis=1) == 20).all()
    assert np.array_equal(draws, Bootstrap(500, 1).draw(20))
    assert not np.array_equal(draws, Bootstrap(500, 2).draw(20))
    # Each count is binomial, 20 times 1/20.
    assert draws.mean() == 1
    assert draws.var() == pytest.approx(0.95, abs=0.05)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_drawn_scores_are_those_of_a_slow_loop(protocol):
    scores = scored(VIDEOS, noisy(0.3))
    draws = SMALL.draw(len(VIDEOS))
    found, expected = drawn(scores, protocol, draws), one_by_one(scores, protocol, draws)
    assert found.keys() == expected.keys() == scores.values(protocol).keys()
    for name in found:
        assert np.ptp(found[name]) > 0.01
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-12)


def test_lasots_rule_for_empty_curves_holds_in_every_drawn_set():
    """Two sequences whose curves are empty, one of them in precision alone; a set may be drawn of nothing else."""
    full, nothing = np.linspace(1, 0.2, 21), np.zeros(21)
    wide, none = np.linspace(0.1, 1, 51), np.zeros(51)
    rows = [(full, wide, wide), (nothing, none, none), (full / 2, none, wide / 2)]
    entries = tuple(SequenceScores(str(number), {"lasot": Curves(*row)}) for number, row in enumerate(rows))
    scores = ScoredRun(None, entries)
    draws = Bootstrap(200, 0).draw(3)
    assert (draws[:, 1] == 3).any()
    expected = one_by_one(scores, "lasot", draws)
    for name, row in drawn(scores, "lasot", draws).items():
        np.testing.assert_allclose(row, expected[name], rtol=0, atol=1e-12)
    assert not drawn(scores, "lasot", draws)["AUC"][draws[:, 1] == 3].any()


def test_the_interval_has_the_percentiles_and_the_true_value_as_often_as_it_says():
    """Sets of 60 sequences whose scores are drawn around 0.6: about 95 of 100 intervals hold 0.6."""
    assert interval(np.arange(1001.0)) == pytest.approx((25, 975))
    random = np.random.default_rng(0)
    draws = Bootstrap(400, 0).draw(60)
    trials, inside = 200, 0
    for _ in range(trials):
        values = random.beta(6, 4, 60)
        curves = [Curves(np.full(21, value), np.full(51, value), np.full(51, value)) for value in values]
        entries = tuple(SequenceScores(str(number), {"grm": each}) for number, each in enumerate(curves))
        low, high = interval(drawn(ScoredRun(None, entries), "grm", draws)["AUC"])
        inside += low <= 0.6 <= high
    # Binomial with 0.95: 200 trials lie in 180 to 199 but once in 10,000 times.
    assert 180 <= inside < 200


def test_the_interval_of_seeds_is_of_their_mean_on_the_same_sets():
    runs = [scored(VIDEOS, noisy(0.3, seed)) for seed in range(2)]
    draws = SMALL.draw(len(VIDEOS))
    found = drawn_scores(entry("toy", *runs), "grm", draws)["AUC"]
    expected = sum(one_by_one(run, "grm", draws)["AUC"] for run in runs) / 2
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_difference_is_paired():
    """Two trackers that differ by a constant have no spread between them, however hard the sequences are."""
    ours, theirs = (scored(VIDEOS, noisy(level)) for level in (0.2, 0.3))
    draws = SMALL.draw(len(VIDEOS))
    apart = one_by_one(ours, "lasot", draws)["AUC"] - one_by_one(theirs, "lasot", draws)["AUC"]
    ends = difference_intervals(entry("a", ours), entry("b", theirs), "lasot", draws)["AUC"]
    assert ends == pytest.approx(tuple(np.percentile(apart, [2.5, 97.5])))
    same = difference_intervals(entry("a", ours), entry("b", ours), "lasot", draws)["AUC"]
    assert same == (0, 0)
    low, high = interval(drawn(ours, "lasot", draws)["AUC"])
    assert ends[1] - ends[0] < high - low


def test_a_comparison_gets_the_intervals_of_all_scores_and_a_tracker_without_a_score_gets_none():
    whole, cut = scored(VIDEOS, noisy(0.3)), scored(VIDEOS, lambda each: each.boxes[:-1])
    comparison = Comparison("otb", ("pysot", "grm"), VIDEOS, (entry("a", whole), entry("b", cut)), {}, {})
    first, second = with_intervals(comparison, SMALL).entries
    for protocol in comparison.protocols:
        assert first.intervals[protocol].keys() == whole.values(protocol).keys()
        for name, (low, high) in first.intervals[protocol].items():
            assert low < whole.values(protocol)[name] < high
    assert second.intervals["pysot"] == {}
    assert second.intervals["grm"].keys() == whole.values("grm").keys()
    assert difference_intervals(first, second, "pysot", SMALL.draw(len(VIDEOS))) == {}


def test_a_score_that_is_no_number_has_an_interval_that_is_none():
    scores = scored(VIDEOS, lambda each: np.where(np.arange(len(each.boxes))[:, None] == 5, np.nan, each.boxes))
    low, high = interval(drawn(scores, "got10k", SMALL.draw(len(VIDEOS)))["AO"])
    assert np.isnan(scores.values("got10k")["AO"]) and np.isnan(low) and np.isnan(high)
