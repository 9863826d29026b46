"""Miniature datasets, written where a test asks, and a test of distributions."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import miniatures
import numpy as np
import pytest


@pytest.fixture
def kolmogorov_p() -> Callable[[np.ndarray, Callable[[np.ndarray], np.ndarray]], float]:
    """``(values, cdf) -> p`` of the two-sided Kolmogorov-Smirnov test by its asymptotic series (Stephens' correction).

    For a distribution on few values, whose cdf is a staircase, the true p is larger.
    """

    def p_value(values: np.ndarray, cdf: Callable[[np.ndarray], np.ndarray]) -> float:
        points, counts = np.unique(values, return_counts=True)
        after = np.cumsum(counts) / len(values)
        before = after - counts / len(values)
        left = cdf(np.nextafter(points.astype(float), -np.inf))
        distance = max(np.abs(after - cdf(points)).max(), np.abs(before - left).max())
        root = np.sqrt(len(values))
        scaled = (root + 0.12 + 0.11 / root) * distance
        if scaled < 0.2:  # the series converges too slowly there
            return 1.0
        k = np.arange(1, 101)
        return float(np.clip(2 * np.sum((-1.0) ** (k - 1) * np.exp(-2 * k**2 * scaled**2)), 0, 1))

    return p_value


@pytest.fixture
def write_got10k(tmp_path: Path) -> Callable[..., Path]:
    """``(folder, lengths, first_box_only=False) -> root``: sequences of these numbers of frames, below ``tmp_path``."""
    return partial(miniatures.write_got10k, tmp_path)
