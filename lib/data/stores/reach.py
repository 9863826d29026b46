"""How far from a target its crops reach, and so the part of a frame that a crop store has to keep."""

import functools
import math
from typing import Self

import numpy as np

from lib.config.schema import Section
from lib.data.augment import Role
from lib.geometry.crop import target_size, window_side

# Shapes, |log(w / h)|, at which reaches are computed; beyond the last, where a target is a line, they hardly change.
_SHAPES = np.linspace(0.0, 6.0, 25)
_DRAWS = 100_000
_SLACK = 1e-6  # of reaches and resolutions that are computed twice


def window_reach(role: Role, width: float, height: float, coverage: float) -> float:
    """How far windows reach from the center of a target of that size, along either axis: in pixels, without their
    rounding to whole ones. At least ``coverage`` of the draws of a role lie inside that square."""
    shape = abs(math.log(width / height))
    side = window_side(width, height, role.crop.factor, role.crop.context)
    return float(np.interp(shape, _SHAPES, _reaches(role, coverage)) * side)


@functools.cache
def _reaches(role: Role, coverage: float) -> list[float]:
    """The reach for each of ``_SHAPES``, in units of the window's side without jitter: it has a limit for thin targets
    then."""
    crop, rng = role.crop, np.random.default_rng(0)  # the same draws each time: equal roles have equal reaches
    wider, higher = np.exp(rng.standard_normal((2, _DRAWS)) * role.jitter.scale)
    moves = np.abs(rng.uniform(-0.5, 0.5, (2, _DRAWS))).max(axis=0) * role.jitter.center
    reaches = []
    for shape in _SHAPES:
        width, height = math.exp(shape / 2), math.exp(-shape / 2)
        sides = window_side(width * wider, height * higher, crop.factor, crop.context)
        sizes = target_size(width * wider, height * higher, crop.context)
        side = window_side(width, height, crop.factor, crop.context)
        reaches.append(np.quantile(sides / 2 + moves * sizes, coverage) / side)
    return reaches


class CropSettings(Section):
    """The stored part of a dataset's frames.

    * ``template``, ``search``: the crops that training takes of a frame; one record serves both.
    * ``every``: of a video only frames whose number is a multiple of it, and the last.
    * ``coverage``: the least share of draws whose crop lies in the stored surroundings.
    * ``detail``: stored pixels for each pixel of a training crop without jitter; no frame is magnified for it.
    * ``quality``: of the JPEG.

    With the defaults 99.9 % of 20,000 draws lie inside (``tests/data/test_cropping.py``), a pair costs about half of
    one from frames, and targets up to 88 pixels of sqrt(w * h), which GRM's crops (128 and 256 pixels)
    show at 0.73 of their size or more, are kept in the frame's own pixels.
    """

    template: Role
    search: Role
    every: int = 1
    coverage: float = 0.9995
    detail: float = 1.1
    quality: int = 85

    def resolution(self, width: float, height: float) -> float:
        """Stored pixels for each pixel of the frame, around a target of that size; it may be above 1."""
        crops = self.template.crop, self.search.crop
        return self.detail * max(
            crop.size / float(window_side(width, height, crop.factor, crop.context)) for crop in crops
        )

    def reach(self, width: float, height: float) -> float:
        """Pixels from the center of a target of that size to the border of its surroundings, along either axis."""
        return max(window_reach(role, width, height, self.coverage) for role in (self.template, self.search))

    def lack(self, wanted: Self) -> str | None:
        """Why a store with these settings cannot serve training that takes the crops ``wanted``, whatever coverage and
        detail that asks for; None if it can."""
        if wanted.every % self.every:
            return f"holds one frame in {self.every}, but one in {wanted.every} is drawn (annotated_every)"
        wanted = wanted.model_copy(update={"coverage": self.coverage, "detail": self.detail})
        for shape in _SHAPES:
            size = math.exp(shape / 2), math.exp(-shape / 2)
            stored, asked = self.reach(*size), wanted.reach(*size)
            if stored < asked * (1 - _SLACK):
                return (
                    f"reaches {stored:.1f} sqrt(w * h) from a target's center, but these crops with their jitter "
                    f"{asked:.1f}"
                )
            stored, asked = self.resolution(*size), wanted.resolution(*size)
            if stored < asked * (1 - _SLACK):
                return f"made for smaller crops: {stored:.0f} pixels for sqrt(w * h) of a target, not {asked:.0f}"
        return None
