"""Which frames of a sequence make a training pair."""

from typing import Literal

import numpy as np

from lib.data.types import Sequence

# All published families: more than 2 * (1 template + 1 search) visible frames, and 20 in all.
MIN_VISIBLE = 5
MIN_FRAMES = 20
GAP_STEP = 5

Pairing = Literal["causal", "interval"]


def visible_frames(visible: np.ndarray, every: int = 1) -> np.ndarray:
    """Numbers of the frames that may be drawn, int64 ``[n]``, ascending: visible, and 0, every, 2 * every ... or last.

    ``visible`` is the field of a ``Sequence``. The rule is GRM's for TrackingNet, whose boxes are annotated once in 30
    frames and tracked in between (``every`` = 30).
    """
    annotated = np.zeros_like(visible)
    annotated[::every] = annotated[-1:] = True
    return np.flatnonzero(visible & annotated)


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
