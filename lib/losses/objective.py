"""What every objective takes and gives; which one a network has follows from its head."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import NonNegativeFloat
from torch import Tensor

from lib.config.schema import Section


class ObjectiveConfig(Section):
    """Weights of the terms.

    * ``giou``, ``l1``: of the box, for every head; the values of all five papers by default.
    * ``focal``: of the centre head's score map (OSTrack, GRM).
    * ``classification``: of the MLP head's cross-entropy, and ``background``, the weight of a cell off the target in
      it (TransT).
    """

    giou: NonNegativeFloat = 2.0
    l1: NonNegativeFloat = 5.0
    focal: NonNegativeFloat = 1.0
    classification: NonNegativeFloat = 8.334
    background: NonNegativeFloat = 0.0625


class ObjectiveResult(NamedTuple):
    """What an objective says of one group, float32 scalars all: the weighted ``total`` to differentiate, the unweighted
    ``terms`` by name, and ``monitors`` that are only logged (no gradient)."""

    total: Tensor
    terms: dict[str, Tensor]
    monitors: dict[str, Tensor]
