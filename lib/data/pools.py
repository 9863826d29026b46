"""The pools of sequences that pairs are drawn from."""

import logging
from collections import abc
from typing import NamedTuple

import numpy as np

from lib.data.cutouts import Cutouts
from lib.data.sampling import MIN_FRAMES, MIN_VISIBLE
from lib.data.stores.crops import CropStore
from lib.data.stores.index import SequenceIndex
from lib.data.types import Sequence

logger = logging.getLogger(__name__)


class Pool(NamedTuple):
    """Sequences that are drawn equally often among themselves, and how often beside other pools (``weight``).

    Of each video only the frames whose number is a multiple of ``every``, and the last, are drawn. ``crops`` is a store
    of the targets' surroundings, or None. With ``cutouts`` the targets are pasted on other videos.
    """

    sequences: SequenceIndex
    weight: float = 1.0
    every: int = 1
    crops: CropStore | None = None
    cutouts: Cutouts | None = None

    def positions(self) -> np.ndarray:
        """Positions of the sequences that can be drawn, int32 ``[k]``, ascending; their number is logged. Raises
        ``ValueError`` if there are none."""
        if self.cutouts is not None:
            positions = self.cutouts.positions
        else:
            positions = np.flatnonzero(self.sequences.can_be_drawn(self.every)).astype(np.int32)
        name = self.sequences[0].dataset if len(self.sequences) else "a dataset without sequences"
        if not len(positions):
            among = f" among the last one and each {self.every}th" if self.every > 1 else ""
            raise ValueError(
                f"{name}: no pair can be drawn from its {len(self.sequences)} sequences: "
                f"a video needs {MIN_FRAMES} frames, {MIN_VISIBLE} of them with a visible target{among}"
            )
        logger.info("%s: pairs are drawn from %d of %d sequences", name, len(positions), len(self.sequences))
        return positions


class Mixture:
    """Pools that are drawn in proportion to their weights.

    Sequences that are too short, or whose target is visible too seldom, are left out (their number is logged). Raises
    ``ValueError`` if nothing is left of a pool.
    """

    def __init__(self, pools: abc.Sequence[Pool]) -> None:
        self._pools = pools
        self._positions = [pool.positions() for pool in pools]
        shares = np.array([pool.weight for pool in pools], dtype=np.float64)
        bounds = (shares / shares.sum()).cumsum()
        self._bounds = bounds / bounds[-1]

    def draw(self, rng: np.random.Generator) -> tuple[Pool, Sequence]:
        """A pool by its share, then one of its sequences, each equally likely whatever its length."""
        # Equal to rng.choice(len(pools), p=shares), which takes ten times as long to check its arguments.
        number = int(self._bounds.searchsorted(rng.random(), side="right"))
        pool, positions = self._pools[number], self._positions[number]
        return pool, pool.sequences[int(positions[rng.integers(len(positions))])]
