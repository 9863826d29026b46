"""Which dataset, sequence and frames make a training pair."""

import logging
from collections import abc
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from lib.data.types import Sequence

if TYPE_CHECKING:
    from lib.data.cutouts import Cutouts
    from lib.data.stores.crops import CropStore
    from lib.data.stores.index import SequenceIndex

logger = logging.getLogger(__name__)

# All published families: more than 2 * (1 template + 1 search) visible frames, and 20 in all.
MIN_VISIBLE = 5
MIN_FRAMES = 20
GAP_STEP = 5

Pairing = Literal["causal", "interval"]


class Pool(NamedTuple):
    """Sequences that are drawn equally often among themselves, and how often beside other pools (``weight``).

    Of each video only the frames whose number is a multiple of ``every``, and the last, are drawn. ``crops`` is a store
    of the targets' surroundings, or None. With ``cutouts`` the targets are pasted on other videos.
    """

    sequences: "SequenceIndex"
    weight: float = 1.0
    every: int = 1
    crops: "CropStore | None" = None
    cutouts: "Cutouts | None" = None

    def positions(self) -> np.ndarray:
        """Positions of the sequences that can be drawn, int32 ``[k]``, ascending; their number is logged. Raises
        ``ValueError`` if there are none."""
        if self.cutouts is not None:
            positions = self.cutouts.positions
        else:
            positions = np.flatnonzero(can_be_drawn(self.sequences, self.every)).astype(np.int32)
        name = self.sequences[0].dataset if len(self.sequences) else "a dataset without sequences"
        if not len(positions):
            among = f" among the last one and each {self.every}th" if self.every > 1 else ""
            raise ValueError(
                f"{name}: no pair can be drawn from its {len(self.sequences)} sequences: "
                f"a video needs {MIN_FRAMES} frames, {MIN_VISIBLE} of them with a visible target{among}"
            )
        logger.info("%s: pairs are drawn from %d of %d sequences", name, len(positions), len(self.sequences))
        return positions


def visible_frames(visible: np.ndarray, every: int = 1) -> np.ndarray:
    """Numbers of the frames that may be drawn, int64 ``[n]``, ascending: visible, and 0, every, 2 * every ... or last.

    ``visible`` is the field of a ``Sequence``. The rule is GRM's for TrackingNet, whose boxes are annotated once in 30
    frames and tracked in between (``every`` = 30).
    """
    annotated = np.zeros_like(visible)
    annotated[::every] = annotated[-1:] = True
    return np.flatnonzero(visible & annotated)


def can_be_drawn(sequences: "SequenceIndex", every: int = 1) -> np.ndarray:
    """bool ``[n]``: which sequences are long enough, with targets visible often enough; an image needs a usable box.

    Boxes of any size count: the lineage's code has a rule of 50 pixels for COCO, but no sampler applies it.
    """
    counts = sequences.visible_counts(every)
    videos = (sequences.lengths >= MIN_FRAMES) & (counts >= MIN_VISIBLE)
    return np.where(sequences.image_sets, counts > 0, videos)


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


def draw_frames(
    sequence: Sequence, pairing: Pairing, max_gap: int, rng: np.random.Generator, every: int = 1
) -> tuple[int, int]:
    """Numbers of a template frame and of a search frame, both visible and allowed by ``every``.

    Of an image set both are its one image. Raises ``ValueError`` if fewer than two frames are visible.
    """
    if sequence.image_set:
        return 0, 0
    visible = visible_frames(sequence.visible, every)
    if len(visible) < 2:
        raise ValueError(f"{sequence.dataset} {sequence.name}: fewer than two visible frames, no pair can be drawn")
    if pairing == "interval":
        return _draw_interval(visible, max_gap, rng)
    return _draw_causal(visible, len(sequence.visible), max_gap, rng)


def _draw_causal(visible: np.ndarray, length: int, max_gap: int, rng: np.random.Generator) -> tuple[int, int]:
    """GRM, OSTrack, SimTrack: the search frame follows the template.

    The template is any visible frame but the sequence's last, the search frame any visible one 1 to ``max_gap - 1``
    frames later. If there is none, the gap grows by 5 and the template is drawn again too, so isolated frames are drawn
    less often.
    """
    gap = max_gap
    while True:
        # Once the gap spans the sequence, only a template without a visible follower could fail: it is left out.
        templates = visible[visible < length - 1] if gap < length else visible[:-1]
        template = templates[rng.integers(len(templates))]
        first, end = np.searchsorted(visible, (template + 1, template + gap))
        if first < end:
            return int(template), int(visible[rng.integers(first, end)])
        gap += GAP_STEP


def _draw_interval(visible: np.ndarray, max_gap: int, rng: np.random.Generator) -> tuple[int, int]:
    """TransT: the search frame lies before or after the template, or is the same.

    The template is any visible frame, the search frame any visible one from ``max_gap`` before it to ``max_gap - 1``
    after it. The published gap would grow if there were none, but the template itself is always one.
    """
    template = visible[rng.integers(len(visible))]
    first, end = np.searchsorted(visible, (template - max_gap, template + max_gap))
    return int(template), int(visible[rng.integers(first, end)])
