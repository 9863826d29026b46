"""Overlaps of boxes: equal to counted pixels, and what they are of rows that are no boxes."""

import numpy as np

from lib.geometry.overlaps import is_box, overlaps


def test_overlaps_of_whole_pixels_are_counts_of_pixels() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = (rng.integers(1, 12, (40, 4)).astype(float) for _ in range(2))
    rows, columns = np.mgrid[:24, :24]

    def covered(box: np.ndarray) -> np.ndarray:
        x, y, w, h = box
        return (columns >= x) & (columns < x + w) & (rows >= y) & (rows < y + h)

    counted = [
        (covered(a) & covered(b)).sum() / (covered(a) | covered(b)).sum() for a, b in zip(truth, predicted, strict=True)
    ]
    np.testing.assert_allclose(overlaps(truth, predicted), counted)


def test_rows_that_are_no_boxes() -> None:
    box, none, flat = [1.0, 2, 3, 4], [np.nan] * 4, [1.0, 2, 0, 4]
    truth, predicted = np.array([box, box, box, none, flat]), np.array([box, none, flat, box, box])
    assert is_box(truth).tolist() == [True, True, True, False, False]
    assert overlaps(truth, predicted).tolist() == [1, 0, 0, 0, 0]
