"""A vision transformer that sees one image at a time: a template's tokens do not depend on the search region."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from lib.models.backbones.image import ImageViT
from lib.models.backbones.vit import ViTConfig


class SiameseViTConfig(ViTConfig):
    """The transformer of STARK-SV B/16 by default."""

    style: Literal["timm", "clip"] = "clip"
    drop_path: float = Field(default=0.0, ge=0, lt=1)


class SiameseViT(ImageViT):
    """``ImageViT``, called with the template and the search region in turn."""

    def forward(self, images: Tensor) -> Tensor:
        """Square crops ``[B, 3, H, H]`` -> normed tokens of their patches ``[B, N, C]``, row-major. The class token
        ends here."""
        tokens = self.norm_pre(self.embed(images))
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 1:]
