"""COCO's polygons and runs as records; what tells no more than a box is none."""

import numpy as np
import pytest

from lib.data.datasets.outlines import decode_runs, pack_outline

TRIANGLE = [1.5, 2.0, 30.0, 2.0, 1.5, 40.25]


def as_text(runs: list[int]) -> str:
    """COCO's compressed text of runs, written from its definition: differences, five bits a character."""
    text = ""
    for place, run in enumerate(runs):
        value = run - runs[place - 2] if place > 2 else run
        while True:
            bits, value = value & 31, value >> 5
            last = value == (-1 if bits & 16 else 0)
            text += chr(48 + (bits if last else bits | 32))
            if last:
                break
    return text


def test_polygons_are_packed_as_they_are():
    numbers, rings = pack_outline([TRIANGLE, [0, 0, 5, 0, 5, 5, 2, 9]])
    np.testing.assert_array_equal(numbers, np.float32([*TRIANGLE, 0, 0, 5, 0, 5, 5, 2, 9]))
    np.testing.assert_array_equal(rings, [6, 8])
    assert (numbers.dtype, rings.dtype) == (np.float32, np.int32)


@pytest.mark.parametrize("runs", [[5, 3, 92], [0, 100], [2, 40, 3, 10, 5, 40], [1, 1, 1, 1, 1, 1, 94]])
def test_runs_as_numbers_and_as_text_are_the_same(runs):
    numbers, rings = pack_outline({"size": [10, 10], "counts": runs})
    np.testing.assert_array_equal(numbers, [10, 10, *runs])
    assert len(rings) == 0
    assert decode_runs(as_text(runs)) == runs
    np.testing.assert_array_equal(pack_outline({"size": [10, 10], "counts": as_text(runs)}).numbers, numbers)


@pytest.mark.parametrize(
    "segmentation",
    [
        None, [], 3, "text", [[]], [[1, 2, 3, 4]], [[1, 2, 3, 4, 5]], [["a"] * 6], [[1, 2, 3, 4, 5, float("nan")]],
        [[10, 20, 30, 20, 30, 60, 10, 60]], [[10, 20, 10, 60, 30, 60, 30, 20, 10, 20]], {}, {"size": [2, 2]},
        {"size": [2, 2], "counts": [3]}, {"size": [2, 2], "counts": [5, -1]},
        {"size": [5000, 5000], "counts": [25_000_000]},
        {"size": [2, 2], "counts": "P"}, {"size": 3, "counts": [4]},
    ],
)  # fmt: skip
def test_what_tells_no_more_than_a_box_is_no_outline(segmentation):
    assert pack_outline(segmentation) is None
