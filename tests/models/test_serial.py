"""SimTrack's transformer: who attends to whom, what the state holds, positions, and what it takes of image networks."""

import pytest
import torch
from pydantic import ValidationError
from timm.layers import QuickGELU
from torch import nn

from lib.models.simtrack import SerialViT, SerialViTConfig, allowed_attention

SIZES = {"width": 32, "depth": 4, "heads": 2, "patch": 8, "foveal": 16}


def tiny(template: int = 40, search: int = 64, **changes) -> SerialViT:
    torch.manual_seed(0)
    return SerialViTConfig(**(SIZES | changes)).build(template, search).eval()


def inputs(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    template, search = (torch.randn(batch, 3, size, size, generator=generator) for size in (40, 64))
    return template, torch.tensor([[0.2, 0.3, 0.5, 0.4]]).expand(batch, 4), search


@pytest.mark.parametrize("every", [1, 2, 4])
@pytest.mark.parametrize("one_way", [False, True])
@torch.inference_mode()
def test_template_and_search_interact_in_the_stated_blocks(every, one_way):
    """The same with no mask at all: blocks run on both sides together, or on each by itself."""
    model, (template, box, search) = tiny(interact_every=every, one_way=one_way), inputs()
    (state,) = model.encode_template(template, box)
    template_part, region = model.norm_pre(state), model.norm_pre(model.embed(search))
    assert template_part.shape[1:] == (25 + 4, 32)
    assert region.shape[1:] == (1 + 64, 32)
    for number, block in enumerate(model.blocks, start=1):
        apart = block(template_part), block(region)
        both = block(torch.cat([template_part, region], dim=1)).split([template_part.shape[1], region.shape[1]], dim=1)
        if number % every:
            template_part, region = apart
        else:
            template_part, region = (apart[0] if one_way else both[0]), both[1]
    search_tokens, template_tokens = model((state,), search)
    torch.testing.assert_close(search_tokens, model.norm(region)[:, 1:])
    torch.testing.assert_close(template_tokens, model.norm(template_part)[:, :25])


@torch.inference_mode()
def test_one_way_template_tokens_know_nothing_of_the_search_region():
    template, box, search = inputs()
    for one_way in (True, False):
        model = tiny(one_way=one_way)
        state = model.encode_template(template, box)
        first, second = model(state, search)[1], model(state, search.flip(-1))[1]
        assert torch.allclose(first, second, atol=1e-6) == one_way


def test_masks_by_hand():
    joint, apart = allowed_attention(template=2, search=3, one_way=True)
    assert apart.int().tolist() == [[1, 1, 0, 0, 0]] * 2 + [[0, 0, 1, 1, 1]] * 3
    assert joint.int().tolist() == [[1, 1, 0, 0, 0]] * 2 + [[1, 1, 1, 1, 1]] * 3
    assert allowed_attention(template=2, search=3, one_way=False)[0] is None


@torch.inference_mode()
def test_foveal_tokens_follow_the_others_and_without_them_the_state_ends():
    template, box, _ = inputs()
    with_window, without = tiny(), tiny(foveal=0)
    without.load_state_dict(with_window.state_dict())
    (long,), (short,) = with_window.encode_template(template, box), without.encode_template(template, box)
    assert torch.equal(long[:, :25], short)
    assert long.shape[1] == short.shape[1] + 4


@torch.inference_mode()
def test_the_box_reaches_the_tokens_through_eq_7_alone():
    template, box, _ = inputs()
    for position, sees in (("eq7", True), ("image", False)):
        model = tiny(exemplar_position=position)
        (one,), (other,) = model.encode_template(template, box), model.encode_template(template, box / 2)
        assert torch.equal(one, other) != sees
        assert any("pos_fc" in name for name, _ in model.named_parameters()) == sees


@torch.inference_mode()
def test_image_positions_of_the_template_are_those_of_the_search_regions_table():
    template, box, _ = inputs()
    model = tiny(exemplar_position="image", foveal=0)
    (tokens,) = model.encode_template(template, box)
    torch.testing.assert_close(tokens - model.patch_embed(template), model.image_positions(5).expand(2, -1, -1))


@torch.inference_mode()
def test_resized_positions_keep_their_place_in_the_image():
    """A table of the cells' own places, in fractions of the image, is the same at another size, but for the border."""
    model = tiny()
    line = (torch.arange(28) + 0.5) / 28
    y, x = torch.meshgrid(line, line, indexing="ij")
    model.pos_embed[0, 1:, 0], model.pos_embed[0, 1:, 1] = x.flatten(), y.flatten()
    for grid in (8, 40):
        table = model.image_positions(grid)[0].unflatten(0, (grid, grid))[1:-1, 1:-1]
        inner = ((torch.arange(grid) + 0.5) / grid)[1:-1]
        torch.testing.assert_close(table[..., 0], inner.expand(grid - 2, -1))
        torch.testing.assert_close(table[..., 1], inner[:, None].expand(-1, grid - 2))


@pytest.mark.parametrize(("style", "eps", "activation"), [("clip", 1e-5, QuickGELU), ("timm", 1e-6, nn.GELU)])
def test_what_a_style_means(style, eps, activation):
    model = tiny(style=style)
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    assert {norm.eps for norm in norms} == {eps}
    assert {type(block.mlp.act) for block in model.blocks} == {activation}
    assert isinstance(model.norm_pre, nn.LayerNorm) == (style == "clip") == (model.patch_embed.proj.bias is None)
    assert len(norms) == 2 * 4 + 1 + (style == "clip")


@pytest.mark.parametrize("style", ["clip", "timm"])
def test_an_image_networks_weights_are_taken_but_for_what_it_has_more(style):
    """Six blocks where four are asked for, a classifier, a distillation token and another size of position table."""
    deeper, model = tiny(style=style, depth=6), tiny(style=style)
    weights = {name: torch.randn_like(value) for name, value in deeper.state_dict().items() if "pos_fc" not in name}
    distilled = torch.randn(1, 2 + 28**2, 32)
    weights |= {"head.weight": torch.randn(10, 32), "dist_token": torch.randn(1, 1, 32), "pos_embed": distilled}
    taken = model.from_image_weights(weights)
    assert set(model.state_dict()) - set(taken) == {f"pos_fc.{name}" for name in model.pos_fc.state_dict()}
    assert torch.equal(taken["pos_embed"], torch.cat([distilled[:, :1], distilled[:, 2:]], dim=1))
    model.load_state_dict(taken, strict=False)
    assert torch.equal(model.blocks[3].attn.qkv.weight, weights["blocks.3.attn.qkv.weight"])
    weights["pos_embed"] = torch.randn(1, 1 + 14**2, 32)
    assert model.from_image_weights(weights)["pos_embed"].shape == model.pos_embed.shape


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"foveal": 20}, "20 is not a multiple of patch 8"),
        ({"interact_every": 5}, "no block would interact"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(changes, message):
    with pytest.raises(ValidationError, match=message):
        SerialViTConfig(**(SIZES | changes))


def test_fresh_blocks_attend_by_likeness_and_places_differ():
    model = tiny()
    places = nn.functional.normalize(torch.cat([model.image_positions(8)[0]]).detach(), dim=1)
    assert (places @ places.T - torch.eye(64)).max() < 0.999
    for block in model.blocks:
        query, key, _ = block.attn.qkv.weight.chunk(3)
        assert torch.equal(query, key)
