"""How far from a target its crops reach: the part of a frame that a crop store has to keep."""

import functools
import math

import numpy as np

from lib.data.augment import Role
from lib.geometry.crop import target_size, window_side

# Shapes, |log(w / h)|, at which reaches are computed; beyond the last, where a target is a line, they hardly change.
SHAPES = np.linspace(0.0, 6.0, 25)
_DRAWS = 100_000


class Reach:
    """How far the windows of a role reach from a target's center along either axis.

    At least ``coverage`` of the draws lie inside that square, whatever the target's size and shape.
    """

    def __init__(self, role: Role, coverage: float) -> None:
        self._side = functools.partial(window_side, factor=role.crop.factor, context=role.crop.context)
        rng = np.random.default_rng(0)  # the same draws each time: equal roles have equal reaches
        wider, higher = np.exp(rng.standard_normal((2, _DRAWS)) * role.jitter.scale)
        moves = np.abs(rng.uniform(-0.5, 0.5, (2, _DRAWS))).max(axis=0) * role.jitter.center
        # In units of the window's side without jitter, so that it has a limit for thin targets.
        self._sides = []
        for shape in SHAPES:
            width, height = math.exp(shape / 2), math.exp(-shape / 2)
            sides = self._side(width * wider, height * higher)
            sizes = target_size(width * wider, height * higher, role.crop.context)
            self._sides.append(np.quantile(sides / 2 + moves * sizes, coverage) / self._side(width, height))

    def pixels(self, width: float, height: float) -> float:
        """Pixels from the center of a box of that size, without the rounding of windows to whole pixels."""
        shape = abs(math.log(width / height))
        return float(np.interp(shape, SHAPES, self._sides) * self._side(width, height))
