"""How far from a target its crops reach: the part of a frame that a crop store has to keep."""

import math

import numpy as np

from lib.data.augment import Role

# Shapes, |log(w / h)|, at which reaches are computed; beyond the last, where a target is a line, they hardly change.
SHAPES = np.linspace(0.0, 6.0, 25)
# Standard normal draws and their weights: the trapezoid rule, which suits a bell-shaped integrand.
_DRAWS = np.linspace(-5.0, 5.0, 121)
_WEIGHTS = np.exp(-0.5 * _DRAWS**2) / np.exp(-0.5 * _DRAWS**2).sum()
_HALVINGS = 40


class Reach:
    """How far the windows of a role reach from a target's center along either axis.

    At least ``coverage`` of the draws lie inside that square, whatever the target's size and shape.
    """

    def __init__(self, role: Role, coverage: float) -> None:
        self._role = role
        # In units of the window's side without jitter, so that it has a limit for thin targets. An area has no shape.
        shapes = SHAPES[:1] if role.crop.context == "area" else SHAPES
        self._sides = np.resize([_quantile(role, shape, coverage) for shape in shapes], len(SHAPES))

    def pixels(self, width: float, height: float) -> float:
        """Pixels from the center of a box of that size, without the rounding of windows to whole pixels."""
        shape = abs(math.log(width / height))
        return float(np.interp(shape, SHAPES, self._sides) * self._role.side(width, height))


def _quantile(role: Role, shape: float, coverage: float) -> float:
    """The reach around a target with log(w / h) = ``shape``, in units of the side of its window without jitter.

    The logarithms of width and height are drawn from normal distributions. They determine the side of the window; its
    moves u and v along the axes are uniform. It lies inside a reach q if side / 2 + max(|u|, |v|) <= q.
    """
    width, height = math.exp(shape / 2), math.exp(-shape / 2)
    widths = width * np.exp(role.jitter.scale * _DRAWS)[:, None]
    heights = height * np.exp(role.jitter.scale * _DRAWS)[None, :]
    sides, moves = role.side(widths, heights), 0.5 * role.jitter.center * role.unit(widths, heights)
    weights = _WEIGHTS[:, None] * _WEIGHTS[None, :]

    def covered(reach: float) -> float:
        room = reach - sides / 2
        if role.jitter.center == 0:
            return float(weights[room >= 0].sum())
        return float((weights * np.clip(room / moves, 0, 1) ** 2).sum())

    low, high = 0.0, float((sides / 2 + moves).max())
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if covered(middle) >= coverage else (middle, high)
    return high / float(role.side(width, height))
