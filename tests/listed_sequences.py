"""Sequences in memory that answer as an index does, each question by a loop. Imported by name, so that worker processes
can unpickle them."""

import numpy as np

from lib.data.stores.index import SequenceIndex
from lib.data.types import Sequence


class ListedSequences(list[Sequence]):
    """A list with the columns of ``lib.data.stores.index.SequenceIndex``."""

    @property
    def lengths(self) -> np.ndarray:
        """int64 ``[n]``."""
        return np.array([len(sequence) for sequence in self], dtype=np.int64)

    @property
    def image_sets(self) -> np.ndarray:
        """bool ``[n]``."""
        return np.array([sequence.image_set for sequence in self], dtype=bool)

    can_be_drawn = SequenceIndex.can_be_drawn  # which asks for the numbers below

    def visible_counts(self, every: int = 1) -> np.ndarray:
        """int64 ``[n]``: visible frames whose number is a multiple of ``every``, and the last."""
        counts = []
        for sequence in self:
            last = len(sequence.visible) - 1
            counts.append(sum(seen for i, seen in enumerate(sequence.visible) if i % every == 0 or i == last))
        return np.array(counts, dtype=np.int64)
