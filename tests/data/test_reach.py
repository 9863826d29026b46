"""How far crops reach: enough for the share of draws that is asked for, and not much farther."""

import math

import numpy as np
import pytest

from lib.data.augment import JitterConfig, Role, jitter_box
from lib.data.stores.reach import window_reach
from lib.geometry.crop import CropConfig, crop_window, window_side

FAMILIES = {
    "GRM": Role(crop=CropConfig(size=256, factor=4.0), jitter=JitterConfig(center=3.0, scale=0.25)),
    "OSTrack 384": Role(crop=CropConfig(size=384, factor=5.0), jitter=JitterConfig(center=4.5, scale=0.5)),
    "TransT": Role(
        crop=CropConfig(size=256, factor=4.0, context="perimeter"), jitter=JitterConfig(center=3.0, scale=0.25)
    ),
}
SIZES = {(100.0, 100.0): 20_000, (300.0, 40.0): 5000, (9.0, 70.0): 5000}  # with numbers of draws


def drawn_reaches(role: Role, width: float, height: float, count: int) -> np.ndarray:
    """How far ``count`` windows reach from the target's center, less what rounding them to pixels may add."""
    rng = np.random.default_rng(0)
    box = np.array([-width / 2, -height / 2, width, height])
    reaches = []
    for _ in range(count):
        window = crop_window(jitter_box(box, role.jitter, rng, role.crop.context), role.crop.factor, role.crop.context)
        reaches.append(max(-window.x1, -window.y1, window.x1 + window.side, window.y1 + window.side))
    return np.array(reaches) - 2


@pytest.mark.parametrize("role", FAMILIES.values(), ids=FAMILIES)
def test_the_share_that_is_asked_for_is_reached_and_hardly_more(role):
    """99.95 % are asked for, which keeps chance out of "at least 99.9 % of 20,000"."""
    for size, count in SIZES.items():
        drawn = drawn_reaches(role, *size, count)
        assert (drawn <= window_reach(role, *size, 0.9995)).mean() >= 0.999
        # Near the quantile of 50 % there are draws enough to see a wrong formula from both sides.
        assert abs((drawn + 1 <= window_reach(role, *size, 0.5)).mean() - 0.5) < (0.02 if count > 5000 else 0.03)


@pytest.mark.parametrize("context", ["area", "perimeter"])
def test_without_jitter_it_is_half_the_window(context):
    role = Role(crop=CropConfig(size=128, factor=2.0, context=context), jitter=JitterConfig())
    for width, height in SIZES:
        side = float(window_side(width, height, 2.0, context))
        assert crop_window((0, 0, width, height), 2.0, context).side == math.ceil(side)
        assert window_reach(role, width, height, 0.9995) == pytest.approx(side / 2, rel=1e-3)


@pytest.mark.slow
def test_it_grows_with_everything_that_is_asked_for():
    crop, jitter = FAMILIES["GRM"].crop, FAMILIES["GRM"].jitter
    role = Role(crop=crop, jitter=jitter)
    least = window_reach(role, 50, 80, 0.99)
    larger = [
        Role(crop=crop.model_copy(update={"factor": 4.5}), jitter=jitter),
        Role(crop=crop, jitter=JitterConfig(center=3.2, scale=0.25)),
        Role(crop=crop, jitter=JitterConfig(center=3.0, scale=0.3)),
    ]
    assert all(window_reach(other, 50, 80, 0.99) > least * 1.01 for other in larger)
    assert window_reach(role, 50, 80, 0.999) > least * 1.01
    assert window_reach(role, 100, 160, 0.99) == pytest.approx(2 * least)
    assert window_reach(role, 80, 50, 0.99) == pytest.approx(least)
