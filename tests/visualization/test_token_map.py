from __future__ import annotations

import numpy as np

from lib.visualization.division import LEAST_SIDE, WHITENING, draw_division
from lib.visualization.sheet import MARGIN, TITLE


def panels(picture: np.ndarray, count: int, side: int) -> list[np.ndarray]:
    """The panels of a picture of one row."""
    across = side + MARGIN
    assert picture.shape == (TITLE + side + 2 * MARGIN, count * across + MARGIN, 3)
    return [picture[MARGIN + TITLE : -MARGIN, MARGIN + n * across : (n + 1) * across] for n in range(count)]


def test_tokens_that_meet_the_template_stay_and_the_others_are_whitened():
    rng = np.random.default_rng(0)
    search = rng.integers(0, 200, (256, 256, 3), np.uint8)
    interacts = rng.integers(0, 2, (3, 64)).astype(np.float32)
    crop, *blocks = panels(draw_division(search, interacts), 4, 256)
    assert (crop == search).all()
    for block, kinds in zip(blocks, interacts, strict=True):
        for token, kind in enumerate(kinds):
            row, column = divmod(token, 8)
            place = np.s_[32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
            expected = search[place] if kind else search[place] * (1 - WHITENING) + 255 * WHITENING
            assert np.abs(block[place] - expected).max() <= 0.5


def test_a_small_crop_is_enlarged_to_whole_tokens_and_a_model_that_never_divides_shows_the_crop():
    side = panels(draw_division(np.zeros((128, 128, 3), np.uint8), np.ones((1, 49))), 2, 196)[0].shape[0]
    assert side >= LEAST_SIDE
    assert side % 7 == 0
    assert len(panels(draw_division(np.zeros((256, 256, 3), np.uint8), np.zeros((0, 64))), 1, 256)) == 1
