"""The choice of a head, for every family whose network ends in features on a grid."""

from typing import Literal

from pydantic import Field
from torch import nn

from lib.config.schema import Section
from lib.models.heads.center import CenterHead
from lib.models.heads.corner import CornerHead
from lib.models.heads.distance import DistanceHead
from lib.models.heads.mlp import MLPHead

HeadKind = Literal["center", "corner", "mlp", "distance"]


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
    if config.kind == "center":
        return CenterHead(width, config.channels, grid)
    if config.kind == "corner":
        return CornerHead(width, config.channels, grid)
    if config.kind == "distance":
        return DistanceHead(width, config.channels, grid)
    return MLPHead(width, config.channels)
