"""Pyramid Vision Transformer as SimTrack's backbone (its paper's Table 7): template and search region go through the
stages as one sequence, and each block reduces the keys of each image on its own grid."""

import math
from functools import partial
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from timm.models.twins import Block, PatchEmbed, PosConv
from torch import Tensor, nn

from lib.models.backbones.stages import PATCH, Count, StagesConfig
from lib.models.backbones.vit import initialize
from lib.models.base import Backbone


class PVTConfig(StagesConfig):
    """Sizes of the network; PVT-Medium without its fourth stage by default.

    ``reductions``: cells of the search region per key, in each direction (PVT's R); the template's keys are twice as
    dense.
    """

    kind: Literal["pvt"] = "pvt"
    widths: tuple[Count, ...] = Field(default=(64, 128, 320), min_length=1)
    depths: tuple[Count, ...] = Field(default=(3, 4, 18), min_length=1)
    heads: tuple[Count, ...] = Field(default=(1, 2, 5), min_length=1)
    mlp_ratios: tuple[Count, ...] = Field(default=(8, 8, 4), min_length=1)
    reductions: tuple[Count, ...] = Field(default=(8, 4, 2), min_length=1)

    @model_validator(mode="after")
    def _template_reductions_are_whole(self) -> Self:
        for reduction in self.reductions:
            if reduction > 1 and reduction % 2:
                raise ValueError(f"reductions: {reduction} is odd, but the template's is half of it")
        return self

    def build(self, template_size: int, search_size: int) -> "PVT":
        return PVT(self)


class SerialPVTBlock(Block):
    """timm's block with spatial reduction attention, over the tokens of one or several images: all tokens attend to all
    keys, and keys are reduced image by image."""

    def forward(self, tokens: Tensor, counts: list[int]) -> Tensor:
        """Tokens ``[B, N, C]`` of square images of ``counts`` tokens each, template before search -> tokens."""
        tokens = tokens + self.drop_path1(self._attend(self.norm1(tokens), counts))
        return tokens + self.drop_path2(self.mlp(self.norm2(tokens)))

    def _attend(self, tokens: Tensor, counts: list[int]) -> Tensor:
        attn = self.attn
        query = attn.q(tokens).unflatten(2, (attn.num_heads, -1)).transpose(1, 2)
        if attn.sr is not None:
            *templates, search = tokens.split(counts, dim=1)
            tokens = attn.norm(torch.cat([*map(self._reduce_half, templates), self._reduce(search)], dim=1))
        keys, values = attn.kv(tokens).unflatten(2, (2, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, keys, values)
        return attn.proj(attended.transpose(1, 2).flatten(2))

    def _reduce(self, tokens: Tensor) -> Tensor:
        """A key for every R x R tokens: ``[B, N, C]`` -> ``[B, N / R^2, C]``."""
        return self.attn.sr(as_map(tokens)).flatten(2).transpose(1, 2)

    def _reduce_half(self, tokens: Tensor) -> Tensor:
        """A key for every R/2 x R/2 tokens, with the pretrained kernel of R x R tokens at stride R/2, so that no weight
        is new; the image is padded by R/2 rows and columns of zeros in all."""
        ratio = self.attn.sr_ratio
        before, after = ratio // 4, ratio // 2 - ratio // 4
        padded = F.pad(as_map(tokens), (before, after, before, after))
        reduced = F.conv2d(padded, self.attn.sr.weight, self.attn.sr.bias, stride=ratio // 2)
        return reduced.flatten(2).transpose(1, 2)


class PVT(Backbone):
    """SimTrack's serialized network on PVT's stages, in the names of timm's ``twins_pcpvt_base``.

    timm has PVT-Medium only with conditional positions (PCPVT-B: the same stages, widths, heads and reductions; a
    depth-wise convolution after the first block of each stage replaces the position table, Chu et al., "Twins", 2021).
    There is no Eq. 7 and no foveal window, because its tokens lie on no grid.
    """

    def __init__(self, config: PVTConfig) -> None:
        super().__init__()
        self.width = config.widths[-1]
        rates = config.drop_path_rates()
        self.patch_embeds, self.blocks, self.pos_block = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for index, width in enumerate(config.widths):
            patch, before = (2, config.widths[index - 1]) if index else (PATCH, 3)
            # timm's layer requires an image size and does not use it.
            self.patch_embeds.append(PatchEmbed(patch, patch, before, width))
            self.blocks.append(
                nn.ModuleList(
                    SerialPVTBlock(
                        width,
                        config.heads[index],
                        config.mlp_ratios[index],
                        drop_path=next(rates),
                        norm_layer=partial(nn.LayerNorm, eps=1e-6),
                        sr_ratio=config.reductions[index],
                        ws=1,
                    )
                    for _ in range(config.depths[index])
                )
            )
            self.pos_block.append(PosConv(width, width))
        self.norm = config.final_norm()
        self.apply(initialize)

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor]:
        """State of the template ``[B, 3, Hz, Wz]``: its tokens before the first block, ``[B, N, C]``. ``box`` is not
        used."""
        return (self.embed(template),)

    def forward(self, state: tuple[Tensor], search: Tensor) -> tuple[Tensor, Tensor]:
        """Search tokens ``[B, Nx, C]`` of ``[B, 3, Hx, Wx]`` and the template's ``[B, Nz, C]``, both row-major."""
        template_tokens, search_tokens = self.run(*state, self.embed(search))
        return search_tokens, template_tokens

    def embed(self, image: Tensor) -> Tensor:
        """``[B, 3, H, W]`` -> the first stage's tokens ``[B, H / 4 * W / 4, C]``."""
        return self.patch_embeds[0](image)[0]

    def run(self, *images: Tensor) -> tuple[Tensor, ...]:
        """Embedded square images, template before search -> the final tokens of each. With one image it is the plain
        image network."""
        for index, (blocks, positions) in enumerate(zip(self.blocks, self.pos_block, strict=True)):
            if index:
                images = tuple(self.patch_embeds[index](as_map(image))[0] for image in images)
            counts = [image.shape[1] for image in images]
            tokens = blocks[0](torch.cat(images, dim=1), counts)
            parts = [positions(part, as_map(part).shape[2:]) for part in tokens.split(counts, dim=1)]
            tokens = torch.cat(parts, dim=1)
            for block in blocks[1:]:
                tokens = block(tokens, counts)
            images = tokens.split(counts, dim=1)
        return tuple(self.norm(image) for image in images)


def as_map(tokens: Tensor) -> Tensor:
    """Row-major tokens of a square image ``[B, n * n, C]`` as ``[B, C, n, n]``."""
    side = math.isqrt(tokens.shape[1])
    return tokens.transpose(1, 2).unflatten(2, (side, side))
