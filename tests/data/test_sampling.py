"""Which frames are drawn, against the documented rule worked out without drawing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lib.data.sampling import can_be_drawn, draw_frames, draw_sequence
from lib.data.types import Sequence


def sequence(visible, name: str = "a", image_set: bool = False) -> Sequence:
    visible = np.array(visible, dtype=bool)
    return Sequence(name, "toy", tuple(Path(f"{i}.jpg") for i in range(len(visible))), np.ones((len(visible), 4)),
                    visible, image_set)  # fmt: skip


def seen(length: int, *frames: int) -> np.ndarray:
    return np.isin(np.arange(length), frames)


def pair_probabilities(visible: np.ndarray, max_gap: int) -> dict[tuple[int, int], float]:
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


PATTERNS = {
    "all visible": (np.ones(150, bool), 50),
    "gap beyond the sequence": (np.ones(30, bool), 200),
    "random holes": (np.random.default_rng(5).random(120) < 0.15, 12),
    "isolated frames": (seen(100, 0, 40, 80, 90, 97), 10),
    "last frame visible": (seen(60, 3, 20, 21, 40, 59), 5),
    "one pair far apart": (seen(120, 7, 90), 10),
    "no template before the last but one": (seen(25, 22, 23, 24), 2),
}


@pytest.mark.parametrize("visible, max_gap", PATTERNS.values(), ids=PATTERNS)
def test_pairs_follow_the_documented_rule(visible, max_gap, kolmogorov_p):
    expected = pair_probabilities(visible, max_gap)
    places = {pair: place for place, pair in enumerate(sorted(expected))}
    cumulative = np.cumsum([expected[pair] for pair in places])
    assert cumulative[-1] == pytest.approx(1)
    rng, video = np.random.default_rng(1), sequence(visible)
    drawn = [draw_frames(video, max_gap, rng) for _ in range(2000)]
    order = np.array([places[pair] for pair in drawn])
    assert kolmogorov_p(order, lambda x: np.append(cumulative, 0)[np.floor(x).astype(int)]) > 1e-3
    distances = np.array([search - template for template, search in drawn])
    chance = np.zeros(len(visible) + 1)
    for (template, search), probability in expected.items():
        chance[search - template] += probability
    assert kolmogorov_p(distances, lambda x: np.cumsum(chance)[np.floor(x).astype(int)]) > 1e-3


def test_the_comparison_tells_rules_apart(kolmogorov_p):
    """A template that is kept while the gap grows is drawn as often as any other: the test above must notice."""
    visible, max_gap = PATTERNS["isolated frames"]
    expected = pair_probabilities(visible, max_gap)
    cumulative = np.cumsum([expected[pair] for pair in sorted(expected)])
    kept = np.random.default_rng(1).integers(0, len(expected), 3000)
    assert kolmogorov_p(kept, lambda x: np.append(cumulative, 0)[np.floor(x).astype(int)]) < 1e-6


def test_recorded_shares_of_isolated_frames():
    expected = pair_probabilities(*PATTERNS["isolated frames"])
    assert expected[80, 90] == pytest.approx(0.28, abs=0.01)
    assert expected[90, 97] == pytest.approx(0.60, abs=0.01)
    assert expected[0, 40] < 0.01


def test_the_gap_is_exclusive():
    rng, video = np.random.default_rng(0), sequence(np.ones(500))
    distances = {b - a for a, b in (draw_frames(video, 20, rng) for _ in range(500))}
    assert distances == set(range(1, 20))


def test_what_cannot_be_drawn_is_an_error_and_no_endless_loop():
    for frames in ((), (0,), (29,)):
        with pytest.raises(ValueError, match="toy a: fewer than two visible frames"):
            draw_frames(sequence(seen(30, *frames)), 10, np.random.default_rng(0))
    assert draw_frames(sequence(seen(20000, 1, 19000)), 2, np.random.default_rng(0)) == (1, 19000)


def test_an_image_is_both_frames():
    assert draw_frames(sequence([True], image_set=True), 10, np.random.default_rng(0)) == (0, 0)


def test_who_is_long_and_visible_enough():
    assert can_be_drawn(sequence(seen(20, 0, 1, 2, 3, 4)))
    assert not can_be_drawn(sequence(seen(20, 0, 1, 2, 3)))
    assert not can_be_drawn(sequence(np.ones(19)))
    assert can_be_drawn(sequence([True], image_set=True))
    assert not can_be_drawn(sequence([False], image_set=True))


def test_datasets_by_share_and_sequences_alike(kolmogorov_p):
    datasets = [[sequence(np.ones(20), "a"), sequence(np.ones(500), "b")], [sequence(np.ones(20), "c")]]
    rng = np.random.default_rng(3)
    names = [draw_sequence(datasets, np.array([0.8, 0.2]), rng).name for _ in range(4000)]
    shares = np.array([0.4, 0.8, 1.0, 0.0])
    assert kolmogorov_p(np.array(["abc".index(n) for n in names]), lambda x: shares[np.floor(x).astype(int)]) > 1e-3
