"""Jitter against its documented distribution; mirror and grey against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lib.data.augment import JitterConfig, jitter_box, mirror_box, to_grayscale

BOX = np.array([30.0, 40.0, 64.0, 25.0])


def normal(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x])


def jitters(config: JitterConfig, count: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Logarithm of the scaling, and the centre's move in units of sqrt(w * h) of the new box."""
    rng = np.random.default_rng(11)
    boxes = np.array([jitter_box(BOX, config, rng) for _ in range(count)])
    move = boxes[:, :2] + boxes[:, 2:] / 2 - (BOX[:2] + BOX[2:] / 2)
    return np.log(boxes[:, 2:] / BOX[2:]), move / np.sqrt(boxes[:, 2:].prod(axis=1, keepdims=True))


@pytest.mark.parametrize("center, scale", [(3.0, 0.25), (4.5, 0.5)])
def test_jitter_follows_its_distribution(center, scale, kolmogorov_p):
    scalings, moves = jitters(JitterConfig(center=center, scale=scale))
    for axis in (0, 1):
        assert kolmogorov_p(scalings[:, axis] / scale, normal) > 1e-3
        assert kolmogorov_p(moves[:, axis] / center + 0.5, lambda x: np.clip(x, 0, 1)) > 1e-3
    both = np.hstack((scalings, moves))
    assert np.abs(np.corrcoef(both.T) - np.eye(4)).max() < 0.08
    assert kolmogorov_p(scalings[:, 0] / (scale * 1.2), normal) < 1e-3


def test_no_jitter_is_the_box():
    np.testing.assert_array_equal(jitter_box(BOX, JitterConfig(), np.random.default_rng(0)), BOX)


def test_mirror_is_one_pixel_off_the_exact_one_in_an_image():
    """Pixels 30 .. 93 of 200 become 106 .. 169; the lineage says 105."""
    line = np.zeros(200)
    line[30:94] = 1
    exact = np.flatnonzero(line[::-1])[0]
    np.testing.assert_array_equal(mirror_box(BOX, 199), [exact - 1, 40, 64, 25])
    np.testing.assert_array_equal(mirror_box(mirror_box(BOX, 199), 199), BOX)


def test_mirror_in_fractions_keeps_the_type():
    mirrored = mirror_box(np.array([0.25, 0.5, 0.5, 0.25], np.float32), 1)
    np.testing.assert_array_equal(mirrored, [0.25, 0.5, 0.5, 0.25])
    assert mirrored.dtype == np.float32


def test_grey_is_the_weighted_sum_of_the_channels():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    grey = to_grayscale(image)
    assert grey.shape == image.shape and (grey == grey[:, :, :1]).all()
    assert np.abs(grey[:, :, 0] - image @ np.array([0.299, 0.587, 0.114])).max() <= 0.51
