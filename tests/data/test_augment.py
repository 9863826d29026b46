"""Jitter against its documented distribution; the mirror against its definition."""

from pathlib import Path

import numpy as np
import pytest
from distributions import kolmogorov_p, normal

from lib.data.augment import JitterConfig, jitter_box, mirror_box

BOX = np.array([30.0, 40.0, 64.0, 25.0])


def jitters(config: JitterConfig, context: str, count: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Logarithm of the scaling, and the center's move in units of the new box: sqrt(w * h), or (w + h) / 2."""
    rng = np.random.default_rng(11)
    boxes = np.array([jitter_box(BOX, config, rng, context) for _ in range(count)])
    move = boxes[:, :2] + boxes[:, 2:] / 2 - (BOX[:2] + BOX[2:] / 2)
    mean = {"area": lambda sizes: np.exp(np.log(sizes).mean(axis=1)), "perimeter": lambda sizes: sizes.mean(axis=1)}
    size = mean[context](boxes[:, 2:])
    return np.log(boxes[:, 2:] / BOX[2:]), move / size[:, None]


@pytest.mark.parametrize("context", ["area", "perimeter"])
@pytest.mark.parametrize("center, scale", [(3.0, 0.25), (4.5, 0.5)])
def test_jitter_follows_its_distribution(center, scale, context):
    scalings, moves = jitters(JitterConfig(center=center, scale=scale), context)
    for axis in (0, 1):
        assert kolmogorov_p(scalings[:, axis] / scale, normal) > 1e-3
        assert kolmogorov_p(moves[:, axis] / center + 0.5, lambda x: np.clip(x, 0, 1)) > 1e-3
    both = np.hstack((scalings, moves))
    assert np.abs(np.corrcoef(both.T) - np.eye(4)).max() < 0.08
    assert kolmogorov_p(scalings[:, 0] / (scale * 1.2), normal) < 1e-3


@pytest.mark.parametrize("context", ["area", "perimeter"])
def test_no_jitter_is_the_box(context):
    np.testing.assert_array_equal(jitter_box(BOX, JitterConfig(), np.random.default_rng(0), context), BOX)


@pytest.mark.parametrize("name", ["search0", "search1"])
def test_jitter_equals_that_recorded_of_transt(name):
    """``transt_tracker.golden.npz``: two normal and two uniform numbers, and the box that they give."""
    golden = np.load(Path(__file__).parents[1] / "reference" / "transt_tracker.golden.npz")
    numbers = golden[f"train.{name}.noise_randn2_rand2"].astype(float)

    class Recorded:
        def standard_normal(self, count):
            return numbers[:count]

        def random(self, count):
            return numbers[2 : 2 + count]

    target = golden[f"train.{name}.gt_xywh"].astype(float)
    found = jitter_box(target, JitterConfig(center=3.0, scale=0.25), Recorded(), "perimeter")
    np.testing.assert_allclose(found, golden[f"train.{name}.jittered_xywh"], rtol=1e-6)


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
