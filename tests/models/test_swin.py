"""Swin as SimTrack's backbone: timm's network as far as the template goes, and what search tokens see beside it."""

import pytest
import timm
import torch
import torch.nn.functional as F
from staged_backbones import BOX, SEARCH, TEMPLATE, TINY, built, images, randomize
from timm.models.swin_transformer import WindowAttention
from torch import nn


def image_network(size: int, **changes) -> nn.Module:
    """timm's Swin in the tiny sizes, with a third stage that SimTrack does not have."""
    torch.manual_seed(2)
    sizes = {"embed_dim": 16, "depths": (2, 2, 1), "num_heads": (2, 4, 8), "window_size": 4} | changes
    network = timm.create_model("swin_base_patch4_window7_224", pretrained=False, img_size=size, **sizes).eval()
    randomize(network)
    return network


# Whole windows, windows that padding fills up, and the search region's own size, whose masks are kept.
@pytest.mark.parametrize("size", [32, 40, 56, 64])
def test_template_goes_through_the_plain_image_network(size):
    network, backbone = image_network(size), built(TINY["swin"])
    backbone.load_state_dict(backbone.from_image_weights(network.state_dict()))
    [image] = images(size)
    _, stages = network.forward_intermediates(image)
    expected = F.layer_norm(stages[1].permute(0, 2, 3, 1), (32,)).flatten(1, 2)
    ours = backbone.encode_template(image, BOX)[-1]
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("grid", [8, 10])
@pytest.mark.parametrize("index", [0, 1])
def test_search_token_attends_to_its_window_and_the_whole_pooled_template(index, grid):
    """Against attention of all to all with a table of who sees whom; windows that padding fills up have no tokens."""
    block = built(TINY["swin"], 4 * grid).layers[0].blocks[index]
    generator = torch.Generator().manual_seed(3)
    tokens, template_part = (torch.randn(2, side, side, 16, generator=generator) for side in (grid, 8))
    shown = block.template_keys(template_part)

    padded, shift = -grid % 4 + grid, 2 * index
    # Padding is right and below after the shift, and moves with the image when the shift is undone.
    canvas = F.pad(
        torch.roll(block.norm1(tokens), (-shift, -shift), (1, 2)), (0, 0, 0, padded - grid, 0, padded - grid)
    )
    row, column = torch.meshgrid(torch.arange(padded), torch.arange(padded), indexing="ij")
    row, column = row.flatten(), column.flatten()
    window = row // 4 * padded + column // 4
    # Brought side by side by the shift: the rows (columns) that came from the other end.
    wrapped = (row >= padded - shift) * 2 + (column >= padded - shift) if shift else torch.zeros_like(row)
    meets = (window[:, None] == window) & (wrapped[:, None] == wrapped)
    query, key, value = block.attn.qkv(canvas.flatten(1, 2)).unflatten(2, (3, 2, 8)).permute(2, 0, 3, 1, 4)
    relative = (row[:, None] - row + 3).clamp(0, 6) * 7 + (column[:, None] - column + 3).clamp(0, 6)
    bias = block.attn.relative_position_bias_table[relative].permute(2, 0, 1)
    inside = (query @ key.mT / 8**0.5 + bias).masked_fill(~meets, -torch.inf)

    pooled = F.avg_pool2d(block.norm1(template_part).permute(0, 3, 1, 2), 2).flatten(2).mT
    _, key_beside, value_beside = block.attn.qkv(pooled).unflatten(2, (3, 2, 8)).permute(2, 0, 3, 1, 4)
    weights = torch.cat([inside, query @ key_beside.mT / 8**0.5], dim=3).softmax(3)
    attended = block.attn.proj((weights @ torch.cat([value, value_beside], 2)).transpose(1, 2).flatten(2))
    back = attended.unflatten(1, (padded, padded))[:, :grid, :grid]
    expected = tokens + torch.roll(back, (shift, shift), (1, 2))
    expected = expected + block.mlp(block.norm2(expected))
    torch.testing.assert_close(block(tokens, shown), expected, atol=1e-5, rtol=1e-4)


def test_search_depends_on_the_template_everywhere_and_the_template_on_itself_alone():
    backbone = built(TINY["swin"])
    template, other, search = images(TEMPLATE, TEMPLATE, SEARCH)
    state = backbone.encode_template(template, BOX)
    here, template_part = backbone(state, search)
    there, same = backbone(state, search.flip(3))
    assert torch.equal(template_part, same)
    changed, _ = backbone(backbone.encode_template(other, BOX), search)
    assert ((here - changed).abs().amax(dim=2) > 1e-3).all()
    assert not torch.equal(here, there)


def test_tables_of_another_window_are_resized_as_timm_does():
    network, backbone = image_network(64, window_size=8), built(TINY["swin"])
    taken = backbone.from_image_weights(network.state_dict())
    name = "layers.1.blocks.1.attn.relative_position_bias_table"
    attention = WindowAttention(32, 4, window_size=8)
    attention.relative_position_bias_table.data = network.state_dict()[name]
    attention.set_window_size((4, 4))
    assert torch.equal(taken[name], attention.relative_position_bias_table)
    backbone.load_state_dict(taken)
