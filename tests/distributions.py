"""Whether drawn values follow a distribution."""

import math
from collections.abc import Callable

import numpy as np


def kolmogorov_p(values: np.ndarray, cdf: Callable[[np.ndarray], np.ndarray]) -> float:
    """p of the two-sided Kolmogorov-Smirnov test by its asymptotic series (Stephens' correction).

    For a distribution on few values, whose cdf is a staircase, the true p is larger.
    """
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


def normal(x: np.ndarray) -> np.ndarray:
    """The cdf of the standard normal distribution."""
    return np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x])
