"""Which frames are drawn, against the documented rule worked out without drawing."""

from pathlib import Path

import numpy as np
import pytest
from distributions import kolmogorov_p
from listed_sequences import ListedSequences

from lib.data.pools import Mixture, Pool
from lib.data.sampling import draw_frames, visible_frames
from lib.data.types import Sequence


def sequence(visible, name: str = "a", image_set: bool = False) -> Sequence:
    visible = np.array(visible, dtype=bool)
    return Sequence(name, "toy", tuple(Path(f"{i}.jpg") for i in range(len(visible))), np.ones((len(visible), 4)),
                    visible, image_set)  # fmt: skip


def seen(length: int, *frames: int) -> np.ndarray:
    return np.isin(np.arange(length), frames)


def causal_probabilities(visible: np.ndarray, max_gap: int) -> dict[tuple[int, int], float]:
    """Probability of every (template, search), by following the rule's rounds until next to nothing is left."""
    frames = [int(frame) for frame in np.flatnonzero(visible)]
    templates = [frame for frame in frames if frame < len(visible) - 1]
    found: dict[tuple[int, int], float] = {}
    left, gap = 1.0, max_gap
    while left > 1e-12:
        failed = 0.0
        for template in templates:
            later = [frame for frame in frames if template + 1 <= frame < template + gap]
            for search in later:
                found[template, search] = found.get((template, search), 0) + left / len(templates) / len(later)
            failed += (not later) / len(templates)
        left, gap = left * failed, gap + 5
    return found


def interval_probabilities(visible: np.ndarray, max_gap: int) -> dict[tuple[int, int], float]:
    """As TransT states it; there is always a first round's search frame, the template itself."""
    frames = [int(frame) for frame in np.flatnonzero(visible)]
    found = {}
    for template in frames:
        near = [frame for frame in range(template - max_gap, template + max_gap) if frame in frames]
        found |= {(template, search): 1 / len(frames) / len(near) for search in near}
    return found


RULES = {"causal": causal_probabilities, "interval": interval_probabilities}
PATTERNS = {
    "all visible": (np.ones(150, bool), 50),
    "gap beyond the sequence": (np.ones(30, bool), 200),
    "random holes": (np.random.default_rng(5).random(120) < 0.15, 12),
    "isolated frames": (seen(100, 0, 40, 80, 90, 97), 10),
    "last frame visible": (seen(60, 3, 20, 21, 40, 59), 5),
    "one pair far apart": (seen(120, 7, 90), 10),
    "no template before the last but one": (seen(25, 22, 23, 24), 2),
}


@pytest.mark.parametrize("pairing", RULES)
@pytest.mark.parametrize("visible, max_gap", PATTERNS.values(), ids=PATTERNS)
def test_pairs_follow_the_documented_rule(visible, max_gap, pairing):
    expected = RULES[pairing](visible, max_gap)
    places = {pair: place for place, pair in enumerate(sorted(expected))}
    cumulative = np.cumsum([expected[pair] for pair in places])
    assert cumulative[-1] == pytest.approx(1)
    rng, video = np.random.default_rng(1), sequence(visible)
    drawn = [draw_frames(video, pairing, max_gap, rng) for _ in range(2000)]
    order = np.array([places[pair] for pair in drawn])
    assert kolmogorov_p(order, lambda x: np.append(cumulative, 0)[np.floor(x).astype(int)]) > 1e-3
    distances = np.array([search - template for template, search in drawn])
    chance = np.zeros(2 * len(visible) + 1)
    for (template, search), probability in expected.items():
        chance[search - template + len(visible)] += probability
    assert kolmogorov_p(distances, lambda x: np.cumsum(chance)[np.floor(x).astype(int) + len(visible)]) > 1e-3


def test_recorded_shares_of_isolated_frames():
    expected = causal_probabilities(*PATTERNS["isolated frames"])
    assert expected[80, 90] == pytest.approx(0.28, abs=0.01)
    assert expected[90, 97] == pytest.approx(0.60, abs=0.01)
    assert expected[0, 40] < 0.01


@pytest.mark.parametrize("pairing", RULES)
def test_only_annotated_frames_are_drawn_as_if_the_others_were_hidden(pairing):
    random = np.random.default_rng(4)
    for length, every in ((100, 30), (91, 30), (120, 30), (64, 7), (20, 19), (50, 1)):
        visible = random.random(length) < 0.8
        visible[[0, -1]] = True
        numbers = np.arange(length)
        chosen = visible & ((numbers % every == 0) | (numbers == length - 1))
        np.testing.assert_array_equal(visible_frames(visible, every), np.flatnonzero(chosen))
        draws = [
            [draw_frames(sequence(seen), pairing, 35, rng, step) for _ in range(50)]
            for seen, step, rng in ((visible, every, np.random.default_rng(2)), (chosen, 1, np.random.default_rng(2)))
        ]
        assert draws[0] == draws[1]
        assert {frame for pair in draws[0] for frame in pair} <= set(np.flatnonzero(chosen).tolist())


def test_a_hidden_last_frame_is_not_drawn():
    np.testing.assert_array_equal(visible_frames(seen(50, 0, 10, 30, 31), 30), [0, 30])
    np.testing.assert_array_equal(visible_frames(seen(50, 0, 10, 30, 49), 30), [0, 30, 49])
    np.testing.assert_array_equal(visible_frames(seen(31, 0, 30), 30), [0, 30])


def test_what_cannot_be_drawn_is_an_error_and_no_endless_loop():
    for frames in ((), (0,), (29,)):
        with pytest.raises(ValueError, match="toy a: fewer than two visible frames"):
            draw_frames(sequence(seen(30, *frames)), "causal", 10, np.random.default_rng(0))
    assert draw_frames(sequence(seen(20000, 1, 19000)), "causal", 2, np.random.default_rng(0)) == (1, 19000)
    with pytest.raises(ValueError, match="toy a: fewer than two visible frames"):
        draw_frames(sequence(seen(59, *range(58))), "causal", 10, np.random.default_rng(0), every=60)


@pytest.mark.parametrize("pairing", RULES)
def test_an_image_is_both_frames(pairing):
    assert draw_frames(sequence([True], image_set=True), pairing, 10, np.random.default_rng(0), every=30) == (0, 0)


def test_who_is_long_and_visible_enough():
    videos = [sequence(seen(20, 0, 1, 2, 3, 4)), sequence(seen(20, 0, 1, 2, 3)), sequence(np.ones(19))]
    images = [sequence([True], image_set=True), sequence([False], image_set=True)]
    assert ListedSequences(videos + images).can_be_drawn().tolist() == [True, False, False, True, False]
    fewer = [sequence(np.ones(92)), sequence(np.ones(91)), images[0]]
    assert ListedSequences(fewer).can_be_drawn(every=30).tolist() == [True, False, True]


def test_only_the_sequence_that_is_drawn_is_made():
    class Index(ListedSequences):
        made = []

        def __getitem__(self, number: int) -> Sequence:
            self.made.append(number)
            return super().__getitem__(number)

    index = Index([sequence(np.ones(20)), sequence(np.ones(19)), sequence(np.ones(30))])
    positions = Pool(index).positions()
    assert positions.tolist() == [0, 2] and index.made == [0]  # for the name of the dataset
    rng = np.random.default_rng(0)
    mixture = Mixture([Pool(index)])
    index.made.clear()
    drawn = [mixture.draw(rng)[1] for _ in range(20)]
    assert list(map(len, drawn)) == [20 + 5 * number for number in index.made] and set(index.made) == {0, 2}


def test_pools_by_share_and_sequences_alike():
    hidden = sequence(np.zeros(20), "d")
    pools = [
        Pool(ListedSequences([sequence(np.ones(20), "a"), hidden, sequence(np.ones(500), "b")]), weight=4.0),
        Pool(ListedSequences([hidden, sequence(np.ones(20), "c")])),
    ]
    mixture = Mixture(pools)
    rng = np.random.default_rng(3)
    drawn = [mixture.draw(rng) for _ in range(4000)]
    assert all(any(item is sequence for item in pool.sequences) for pool, sequence in drawn)
    shares = np.array([0.4, 0.8, 1.0, 0.0])
    places = np.array(["abc".index(sequence.name) for _, sequence in drawn])
    assert kolmogorov_p(places, lambda x: shares[np.floor(x).astype(int)]) > 1e-3
