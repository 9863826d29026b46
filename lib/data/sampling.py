"""Which dataset, sequence and frames make a training pair."""

from __future__ import annotations

import numpy as np

from lib.data.types import Sequence

# GRM, OSTrack: more than 2 * (1 template + 1 search) visible frames, and 20 in all.
MIN_VISIBLE = 5
MIN_FRAMES = 20
GAP_STEP = 5


def can_be_drawn(sequence: Sequence) -> bool:
    """Whether a sequence is long enough and its target seen often enough to train on; an image needs a usable box."""
    if sequence.image_set:
        return bool(sequence.visible.any())
    return len(sequence) >= MIN_FRAMES and int(sequence.visible.sum()) >= MIN_VISIBLE


def draw_sequence(datasets: list[list[Sequence]], shares: np.ndarray, rng: np.random.Generator) -> Sequence:
    """A dataset by its share (shares sum to 1), then one of its sequences, each equally likely whatever its length."""
    sequences = datasets[rng.choice(len(datasets), p=shares)]
    return sequences[rng.integers(len(sequences))]


def draw_frames(sequence: Sequence, max_gap: int, rng: np.random.Generator) -> tuple[int, int]:
    """Indices of a template frame and of a later search frame, both visible; an image set's one frame is both.

    The lineage's causal rule: the template is any visible frame but the sequence's last, the search frame any visible
    one 1 to ``max_gap - 1`` frames later. If there is none, the gap grows by 5 and the template is drawn again too, so
    that isolated frames are drawn less. Raises ``ValueError`` if fewer than two frames are visible.
    """
    if sequence.image_set:
        return 0, 0
    visible = np.flatnonzero(sequence.visible)
    if len(visible) < 2:
        raise ValueError(f"{sequence.dataset} {sequence.name}: fewer than two visible frames, no pair can be drawn")
    length = len(sequence.visible)
    gap = max_gap
    while True:
        # Once the gap spans the sequence, only a template that nothing follows could fail, for ever: it is left out.
        templates = visible[visible < length - 1] if gap < length else visible[:-1]
        template = templates[rng.integers(len(templates))]
        first, end = np.searchsorted(visible, (template + 1, template + gap))
        if first < end:
            return int(template), int(visible[rng.integers(first, end)])
        gap += GAP_STEP
