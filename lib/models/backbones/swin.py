"""Swin Transformer as SimTrack's backbone (its paper's Table 7): the template goes through the network alone, once a
video, and every window of the search region also attends to the template."""

import math
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from timm.layers import PatchEmbed, resize_rel_pos_bias_table
from timm.models.swin_transformer import PatchMerging, SwinTransformerBlock, window_partition, window_reverse
from torch import Tensor, nn

from lib.models.backbones.stages import PATCH, Count, StagesConfig
from lib.models.backbones.vit import initialize
from lib.models.base import Backbone


class SwinConfig(StagesConfig):
    """Sizes of the network; Swin-B without its fourth stage by default, which would leave 7 x 7 cells at 224 pixels.

    ``width``: channels of the first stage; each further one doubles it. ``window``: side of the windows in tokens.
    """

    kind: Literal["swin"] = "swin"
    width: int = Field(default=128, ge=8)
    depths: tuple[Count, ...] = Field(default=(2, 2, 18), min_length=1)
    heads: tuple[Count, ...] = Field(default=(4, 8, 16), min_length=1)
    window: int = Field(default=7, ge=2)

    @property
    def widths(self) -> tuple[int, ...]:
        """The channels of each stage."""
        return tuple(self.width * 2**stage for stage in range(len(self.depths)))

    def build(self, template_size: int, search_size: int) -> "Swin":
        return Swin(self, search_size)


class SerialSwinBlock(SwinTransformerBlock):
    """timm's block, whose windows can also attend to a template.

    The template is pooled to the size of a window: a search token has as many keys in the template as in its window.
    The window's keys have their relative position bias; the template's have none, since the position of a search token
    does not predict a position on the template.
    """

    def template_keys(self, tokens: Tensor) -> Tensor:
        """Keys and values of template tokens ``[B, H, W, C]`` at the input of this block, for search windows:
        ``[B, 2, heads, M, D]``, M a window's tokens, or H * W if the template is smaller than a window."""
        height, width = (min(side, window) for side, window in zip(tokens.shape[1:3], self.window_size, strict=True))
        pooled = F.adaptive_avg_pool2d(self.norm1(tokens).permute(0, 3, 1, 2), (height, width)).flatten(2)
        qkv = self.attn.qkv(pooled.transpose(1, 2)).unflatten(2, (3, self.attn.num_heads, -1))
        return qkv[:, :, 1:].permute(0, 2, 3, 1, 4)

    def forward(self, tokens: Tensor, template: Tensor | None = None) -> Tensor:
        """Tokens ``[B, H, W, C]`` -> tokens, each attending to its window and to the ``template_keys``, if given.
        Windows are shifted as in timm: never if one holds the whole image."""
        tokens = tokens + self.drop_path1(self._attend(self.norm1(tokens), template))
        return tokens + self.drop_path2(self.mlp(self.norm2(tokens)))

    def _attend(self, tokens: Tensor, template: Tensor | None) -> Tensor:
        batch, rows, columns, _ = tokens.shape
        window, heads = self.window_size, self.attn.num_heads
        shift = self.shift_size if rows > window[0] or columns > window[1] else (0, 0)
        # Zeros fill up the last windows and are attended to, as in timm: at 112 and 224 pixels there are none.
        padding = (0, 0, 0, -columns % window[1], 0, -rows % window[0])
        shifted = F.pad(torch.roll(tokens, (-shift[0], -shift[1]), dims=(1, 2)), padding)
        windows = window_partition(shifted, window).flatten(1, 2).unflatten(0, (batch, -1))
        count = windows.shape[1]
        qkv = self.attn.qkv(windows).unflatten(3, (3, heads, -1)).permute(3, 0, 1, 4, 2, 5)
        query, keys = qkv[0], qkv[1:]
        bias = self.attn.relative_position_bias_table[self.attn.relative_position_index].permute(2, 0, 1)
        bias = bias.expand(count, -1, -1, -1)
        if any(shift):
            # -100 between tokens that only the shift brought side by side. timm keeps the mask of the search grid.
            kept = (rows, columns) == self.input_resolution
            bias = bias + (self.attn_mask if kept else self.get_attn_mask(shifted))[:, None]
        if template is not None:
            beside = template.transpose(0, 1)[:, :, None].expand(-1, -1, count, -1, -1, -1)
            keys = torch.cat([keys, beside], dim=4)
            bias = F.pad(bias, (0, beside.shape[4]))
        # Windows count as heads, so that the bias, which samples share, is not copied for each.
        attended = F.scaled_dot_product_attention(
            query.flatten(1, 2), keys[0].flatten(1, 2), keys[1].flatten(1, 2), attn_mask=bias.flatten(0, 1)[None]
        )
        # A flattened transpose would bind exported programs to the strides that this processor's attention gives.
        attended = self.attn.proj(torch.cat(attended.unflatten(1, (count, heads)).unbind(2), dim=-1))
        merged = window_reverse(attended.flatten(0, 1), window, *shifted.shape[1:3])
        return torch.roll(merged[:, :rows, :columns], shift, dims=(1, 2))


class Stage(nn.Module):
    """``downsample``, which halves the grid (not in the first stage), then ``blocks``; timm's names. ``grid``: side of
    the search region in its tokens; ``rates``: each block's drop path."""

    def __init__(self, config: SwinConfig, index: int, grid: int, rates: Iterator[float]) -> None:
        super().__init__()
        width = config.widths[index]
        self.downsample = PatchMerging(width // 2, width) if index else nn.Identity()
        self.blocks = nn.ModuleList(
            SerialSwinBlock(
                width,
                input_resolution=(grid, grid),
                num_heads=config.heads[index],
                window_size=config.window,
                shift_size=config.window // 2 if block % 2 else 0,
                drop_path=next(rates),
            )
            for block in range(config.depths[index])
        )


class Swin(Backbone):
    """SimTrack's serialized network on Swin's stages, in timm's names (``swin_base_patch4_window7_224``).

    In the paper's Swin, the template does not attend to the search region. So the state is complete: the template's
    keys and values in each block, and its final tokens. There is no foveal window, because its tokens lie on no grid,
    and no Eq. 7, because positions are relative.
    """

    def __init__(self, config: SwinConfig, search_size: int) -> None:
        super().__init__()
        self.width = config.widths[-1]
        self.patch_embed = PatchEmbed(
            None, PATCH, 3, config.width, norm_layer=nn.LayerNorm, output_fmt="NHWC", strict_img_size=False
        )
        rates = config.drop_path_rates()
        self.layers = nn.ModuleList(
            Stage(config, index, search_size // PATCH // 2**index, rates) for index in range(len(config.depths))
        )
        self.norm = config.final_norm()
        self.apply(initialize)

    def from_image_weights(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The part of an image Swin's weights, in timm's names, that this backbone takes: all before the fourth stage.
        Tables of relative positions are resized to the window."""
        taken, own = super().from_image_weights(weights), self.state_dict()
        for name, value in taken.items():
            if name.endswith("relative_position_bias_table"):
                window = (math.isqrt(len(own[name])) + 1) // 2
                taken[name] = resize_rel_pos_bias_table(value, (window, window), tuple(own[name].shape))
        return taken

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor, ...]:
        """State of the template ``[B, 3, Hz, Wz]``: its keys and values in each block, ``[B, 2, heads, M, D]``, then
        its final tokens ``[B, Nz, C]``, row-major. ``box`` is not used."""
        tokens, state = self.patch_embed(template), []
        for stage in self.layers:
            tokens = stage.downsample(tokens)
            for block in stage.blocks:
                state.append(block.template_keys(tokens))
                tokens = block(tokens)
        return *state, self.norm(tokens).flatten(1, 2)

    def forward(self, state: tuple[Tensor, ...], search: Tensor) -> tuple[Tensor, Tensor]:
        """Search tokens ``[B, Nx, C]`` of ``[B, 3, Hx, Wx]`` and the template's ``[B, Nz, C]``, both row-major."""
        *shown, template_tokens = state
        tokens, keys = self.patch_embed(search), iter(shown)
        for stage in self.layers:
            tokens = stage.downsample(tokens)
            for block in stage.blocks:
                tokens = block(tokens, next(keys))
        return self.norm(tokens).flatten(1, 2), template_tokens
