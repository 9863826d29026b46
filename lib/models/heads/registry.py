"""The kinds of heads, by the name that ``model.head.kind`` gives: one record for each, one line here."""

from typing import Literal, Union

from pydantic import Field
from torch import nn

from lib.config.schema import Section
from lib.models.heads import center, corner, distance, mlp
from lib.models.heads.base import Head

HEADS: dict[str, Head] = {head.kind: head for head in (center.HEAD, corner.HEAD, mlp.HEAD, distance.HEAD)}

HeadKind = Literal[tuple(HEADS)]
# Unions with one member for each record; ``|`` cannot write them.
HeadPrediction = Union[tuple(head.prediction for head in HEADS.values())]  # noqa: UP007
# The section ``objective``; the head decides which.
AnyObjectiveConfig = Union[tuple(head.objective_config for head in HEADS.values())]  # noqa: UP007


class HeadConfig(Section):
    """How boxes are predicted from search features.

    * ``kind``: "center" (OSTrack, GRM), a score, a size and an offset for each cell; "corner" (STARK, SimTrack), two
      corners as expectations over the cells; "mlp" (TransT), a class and a box from each cell's vector; "distance"
      (LoRAT), a score and the distances to the box's four sides from each cell's vector.
    * ``channels``: of the first of four 3x3 layers, halved by each further one (center, corner), or of the two hidden
      layers (mlp, distance).
    """

    kind: HeadKind
    channels: int = Field(default=256, ge=8, multiple_of=8)


def build_head(config: HeadConfig, width: int, grid: int) -> nn.Module:
    """The head for features ``[B, width, grid, grid]``; its predictions have empty ``extras``."""
    return HEADS[config.kind].network(width, config.channels, grid)
