"""Tables of numbers as datasets write them, against numpy's own reader."""

from __future__ import annotations

import numpy as np
import pytest

from lib.data.datasets.annotations import read_numbers
from lib.data.source import Source


@pytest.mark.parametrize("separator", [",", "\t", " ", ", "])
def test_numbers_are_those_numpy_reads(tmp_path, separator):
    table = np.random.default_rng(0).normal(0, 1000, (50, 4))
    np.savetxt(tmp_path / "a.txt", table, delimiter=separator, fmt="%.7g")
    expected = np.loadtxt(tmp_path / "a.txt", delimiter=separator.strip() or None)
    np.testing.assert_array_equal(read_numbers(Source(tmp_path), "a.txt", 50, 4), expected)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes(bytes(range(128, 256)))
    with pytest.raises(ValueError, match=r"a\.txt: line 1 is .* not a number"):
        read_numbers(Source(tmp_path), "a.txt", 1, 1)
