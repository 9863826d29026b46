"""Boxes of VOT's regions, masks against their pixels."""

import numpy as np
import pytest

from lib.data.datasets.regions import mask_box, region_box


@pytest.mark.parametrize(("text", "box"), [
    ("1.5,2,3,4", (1.5, 2, 3, 4)),
    ("1.5 2  3\t4", (1.5, 2, 3, 4)),
    ("10,20,30,25,28,60,8,55", (8, 20, 22, 40)),  # smallest and largest coordinates, no pixel added
    ("0,0,4,0,2,3", (0, 0, 4, 3)),
    ("m4,5,2,2,0,4", (4, 5, 2, 2)),
    ("m 4, 5, 2, 2, 0, 4", (4, 5, 2, 2)),
])  # fmt: skip
def test_a_region_has_a_box(text, box):
    assert region_box(text) == box


@pytest.mark.parametrize("text", ["0", "1", "2", "nan", "NaN,NaN,NaN,NaN", "1,2,nan,4", "1,2,3,4,nan,6", "m0,0,0,0,0"])
def test_what_is_not_known_is_nan(text):
    np.testing.assert_array_equal(region_box(text), [np.nan] * 4)


@pytest.mark.parametrize("text", ["", "a", "1,2", "1,2,3", "1,2,3,4,5", "1,2,3,4,5,6,7", "m1,2,3", "m1,2,2,2,0.5",
                                  "m1,2,2,2,0,5", "m1,2,2,2,5,-1",
                                  "20,,12,24,18", "1,2_4,3,4", "m1,2,2,2,,4", "m1,2,2,2,inf"])  # fmt: skip
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError):
        region_box(text)


def runs_of(mask: np.ndarray) -> list[int]:
    """Lengths of the runs of 0 and 1 along the rows, found pixel by pixel; the first is of zeros."""
    runs, value = [0], 0
    for pixel in mask.ravel().tolist():
        if pixel != value:
            runs, value = [*runs, 0], pixel
        runs[-1] += 1
    return runs


@pytest.mark.parametrize("filled", [0.005, 0.03, 0.3, 1.0])
def test_the_box_of_a_mask_is_that_of_its_pixels(filled):
    rng = np.random.default_rng(3)
    for _ in range(50):
        height, width = rng.integers(1, 14, 2)
        mask = (rng.random((height, width)) < filled).astype(int)
        x0, y0 = rng.integers(-5, 100, 2).tolist()
        runs = runs_of(mask)
        if runs and not rng.integers(2) and len(runs) % 2:
            runs = runs[:-1]  # zeros at the end may be left out
        rows, columns = np.nonzero(mask)
        expected = [np.nan] * 4
        if len(rows):
            expected = [x0 + columns.min(), y0 + rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        np.testing.assert_array_equal(mask_box([x0, y0, width, height, *runs]), expected)
