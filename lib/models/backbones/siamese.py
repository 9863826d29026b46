"""A vision transformer that sees one image at a time: a template's tokens do not depend on the search region."""

from __future__ import annotations

from torch import Tensor

from lib.models.backbones.image import ImageViT


class SiameseViT(ImageViT):
    """``ImageViT``, called with the template and the search region in turn."""

    def forward(self, images: Tensor) -> Tensor:
        """Square crops ``[B, 3, H, H]`` -> normed tokens of their patches ``[B, N, C]``, row-major. The class token
        ends here."""
        tokens = self.norm_pre(self.embed(images))
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 1:]
