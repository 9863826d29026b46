"""PVT as SimTrack's backbone: timm's network for one image, and how template and search region meet in it."""

import pytest
import timm
import torch
import torch.nn.functional as F
from staged_backbones import BOX, SEARCH, TEMPLATE, TINY, built, images, randomize
from timm.models.twins import Block
from torch import nn

from lib.models.backbones.pvt import SerialPVTBlock, as_map


def image_network() -> nn.Module:
    """timm's PCPVT in the tiny sizes, with a third stage that SimTrack does not have."""
    torch.manual_seed(2)
    sizes = {"embed_dims": (8, 16, 24), "depths": (2, 1, 1), "num_heads": (1, 2, 3), "mlp_ratios": (2, 2, 2)}
    network = timm.create_model("twins_pcpvt_base", pretrained=False, sr_ratios=(4, 2, 1), **sizes).eval()
    randomize(network)
    return network


# 56 pixels: 14 cells, of which the last two have no key in the first stage, as in timm.
@pytest.mark.parametrize("size", [32, 56, 64])
def test_one_image_goes_through_the_plain_image_network(size):
    network, backbone = image_network(), built(TINY["pvt"])
    backbone.load_state_dict(backbone.from_image_weights(network.state_dict()))
    [image] = images(size)
    _, stages = network.forward_intermediates(image)
    [ours] = backbone.run(backbone.embed(image))
    expected = F.layer_norm(stages[1].flatten(2).mT, (16,))
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_without_reduction_a_block_is_timms_over_all_tokens_in_one_sequence():
    ours = SerialPVTBlock(16, 2, 2, sr_ratio=1, ws=1).eval()
    timms = Block(16, 2, 2, sr_ratio=1, ws=1).eval()
    randomize(ours)
    timms.load_state_dict(ours.state_dict())
    tokens = torch.randn(2, 16 + 64, 16, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(ours(tokens, [16, 64]), timms(tokens, (1, 80)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_template_keys_are_those_of_the_search_region_at_twice_the_density(ratio):
    """In R/2 zeros' margin, each of the four ways to start every R-th cell at a multiple of R/2 is plain reduction."""
    block = SerialPVTBlock(16, 2, 2, sr_ratio=ratio, ws=1)
    randomize(block)
    grid, half = 2 * ratio, ratio // 2
    image = torch.randn(1, 16, grid, grid, generator=torch.Generator().manual_seed(3))
    keys = as_map(block._reduce_half(image.flatten(2).mT))
    assert keys.shape == (1, 16, 4, 4), "R/2 cells along a key"
    before = half // 2
    wide = F.pad(image, (before, 2 * ratio, before, 2 * ratio))
    for row in range(2):
        for column in range(2):
            part = wide[:, :, row * half :, column * half :][:, :, :grid, :grid]
            plain = as_map(block._reduce(part.flatten(2).mT))
            torch.testing.assert_close(keys[:, :, row::2, column::2], plain, atol=1e-5, rtol=1e-4)


def test_every_token_attends_to_the_dense_keys_of_the_template_and_the_reduced_ones_of_the_search_region():
    block = SerialPVTBlock(16, 2, 2, sr_ratio=4, ws=1).eval()
    randomize(block)
    generator = torch.Generator().manual_seed(3)
    template_part, search = (torch.randn(2, side**2, 16, generator=generator) for side in (8, 16))
    tokens = torch.cat([template_part, search], dim=1)
    reduced = [block._reduce_half(block.norm1(template_part)), block._reduce(block.norm1(search))]
    assert [part.shape[1] for part in reduced] == [16, 16]
    query = block.attn.q(block.norm1(tokens)).unflatten(2, (2, 8)).transpose(1, 2)
    pairs = [block.attn.kv(block.attn.norm(part)).unflatten(2, (2, 2, 8)).permute(2, 0, 3, 1, 4) for part in reduced]
    logits = torch.cat([query @ key.mT for key, _ in pairs], dim=3) / 8**0.5
    weights = logits.softmax(3).split([16, 16], dim=3)
    attended = sum(weight @ value for weight, (_, value) in zip(weights, pairs, strict=True))
    expected = tokens + block.attn.proj(attended.transpose(1, 2).flatten(2))
    expected = expected + block.mlp(block.norm2(expected))
    torch.testing.assert_close(block(tokens, [64, 256]), expected, atol=1e-5, rtol=1e-4)


def test_both_sides_depend_on_each_other_everywhere():
    backbone = built(TINY["pvt"])
    template, other, search = images(TEMPLATE, TEMPLATE, SEARCH)
    here, template_part = backbone(backbone.encode_template(template, BOX), search)
    changed, _ = backbone(backbone.encode_template(other, BOX), search)
    _, template_elsewhere = backbone(backbone.encode_template(template, BOX), search.flip(3) + 1)
    assert ((here - changed).abs().amax(dim=2) > 1e-3).all()
    assert ((template_part - template_elsewhere).abs().amax(dim=2) > 1e-3).all()
