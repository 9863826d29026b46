import numpy as np

from lib.visualization.sheet import MARGIN, TITLE
from lib.visualization.token_map import LEAST_MAP_SIDE, WHITENING, draw_token_map


def panels(picture: np.ndarray, count: int, side: int) -> list[np.ndarray]:
    """The panels of a picture of one row."""
    across = side + MARGIN
    assert picture.shape == (TITLE + side + 2 * MARGIN, count * across + MARGIN, 3)
    return [picture[MARGIN + TITLE : -MARGIN, MARGIN + n * across : (n + 1) * across] for n in range(count)]


def test_chosen_tokens_stay_and_the_others_are_whitened():
    rng = np.random.default_rng(0)
    search = rng.integers(0, 200, (256, 256, 3), np.uint8)
    chosen = rng.integers(0, 2, (3, 64)).astype(bool)
    crop, *blocks = panels(draw_token_map(search, chosen, ("one", "two", "three"), "go on"), 4, 256)
    assert (crop == search).all()
    for block, kinds in zip(blocks, chosen, strict=True):
        for token, kind in enumerate(kinds):
            row, column = divmod(token, 8)
            place = np.s_[32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
            expected = search[place] if kind else search[place] * (1 - WHITENING) + 255 * WHITENING
            assert np.abs(block[place] - expected).max() <= 0.5


def test_a_small_crop_is_enlarged_to_whole_tokens_and_a_model_without_stages_shows_the_crop():
    small, large = (np.zeros((side, side, 3), np.uint8) for side in (128, 256))
    side = panels(draw_token_map(small, np.ones((1, 49), bool), ["one"], "go on"), 2, 196)[0].shape[0]
    assert side >= LEAST_MAP_SIDE
    assert side % 7 == 0
    assert len(panels(draw_token_map(large, np.zeros((0, 64), bool), [], "go on"), 1, 256)) == 1
