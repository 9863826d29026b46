"""The common part of SimTrack's backbones in stages, Swin and PVT (Table 7 of its paper)."""

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import Field, model_validator
from torch import nn

from lib.models.base import BackboneConfig

# Pixels along a token of the first stage.
PATCH = 4

Count = Annotated[int, Field(ge=1)]


class StagesConfig(BackboneConfig):
    """Sizes of a network in stages; each stage after the first halves the grid.

    Lists have an entry for each stage; a subclass has ``widths``, the channels of each. Three stages end at stride 16,
    which SimTrack's head reads; the multiply-adds per frame in its paper (Swin 15.0 G, PVT 8.9 G) agree with three.
    ``drop_path`` grows linearly from 0 in the first block to this in the last.
    """

    depths: tuple[Count, ...] = Field(min_length=1)
    heads: tuple[Count, ...] = Field(min_length=1)
    drop_path: float = Field(default=0.1, ge=0, lt=1)

    @property
    def stride(self) -> int:
        """Stride of the last stage."""
        return PATCH * 2 ** (len(self.depths) - 1)

    @model_validator(mode="after")
    def _stages_agree(self) -> Self:
        lists = {name: value for name, value in self if isinstance(value, tuple)}
        if len({len(entries) for entries in lists.values()}) > 1:
            raise ValueError(f"{', '.join(lists)} must have an entry for each stage")
        for width, heads in zip(self.widths, self.heads, strict=True):
            if width % heads:
                raise ValueError(f"heads: {heads} does not divide its stage's width {width}")
        return self

    def drop_path_rates(self) -> Iterator[float]:
        """The rate of each block, from the first."""
        depth = sum(self.depths)
        return (self.drop_path * block / max(depth - 1, 1) for block in range(depth))

    def final_norm(self) -> nn.LayerNorm:
        """A norm without learned scale and shift: the image network's comes after the fourth stage, and the linear
        layer that follows in SimTrack can learn both."""
        return nn.LayerNorm(self.widths[-1], elementwise_affine=False)
