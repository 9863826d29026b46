"""Swin as SimTrack's backbone: timm's network as far as the template goes, and what search tokens see beside it."""

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.models.swin_transformer import WindowAttention
from torch import Tensor, nn

from lib.experiment.config import load_experiment
from lib.models.backbones.swin import Swin, SwinConfig
from lib.models.simtrack import SimTrack, SimTrackConfig
from lib.profiling.cost import count_cost

TINY = SwinConfig(width=16, depths=(2, 2), heads=(2, 4), window=4, drop_path=0.0)
TEMPLATE, SEARCH = 32, 64
BOX = torch.tensor([[0.25, 0.25, 0.5, 0.5]]).expand(2, 4)


def randomize(module: nn.Module) -> None:
    """Weights large enough for attention to differ, biases and norms away from 0 and 1."""
    for name, parameter in sorted(module.named_parameters()):
        spread = 1.0 if name.endswith("table") else 0.1 if parameter.ndim == 1 else 1.5 / parameter[0].numel() ** 0.5
        parameter.data = torch.randn_like(parameter) * spread + (parameter.ndim == 1 and "norm" in name)


def tiny(config: SwinConfig = TINY, search_size: int = SEARCH) -> Swin:
    torch.manual_seed(0)
    backbone = config.build(TEMPLATE, search_size).eval()
    randomize(backbone)
    return backbone


def images(*sizes: int, batch: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(batch, 3, size, size, generator=generator) for size in sizes]


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
    network, backbone = image_network(size), tiny()
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
    block = tiny(search_size=4 * grid).layers[0].blocks[index]
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
    backbone = tiny()
    template, other, search = images(TEMPLATE, TEMPLATE, SEARCH)
    state = backbone.encode_template(template, BOX)
    here, template_part = backbone(state, search)
    there, same = backbone(state, search.flip(3))
    assert torch.equal(template_part, same)
    changed, _ = backbone(backbone.encode_template(other, BOX), search)
    assert ((here - changed).abs().amax(dim=2) > 1e-3).all()
    assert not torch.equal(here, there)


def test_a_template_is_encoded_once_and_states_stack():
    backbone = tiny()
    template, search, later = images(TEMPLATE, SEARCH, SEARCH)
    state = backbone.encode_template(template, BOX)
    backbone(state, search)
    once, _ = backbone(state, later)
    again, _ = backbone(backbone.encode_template(template, BOX), later)
    assert torch.equal(once, again)
    alone = [backbone.encode_template(template[i : i + 1], BOX[:1]) for i in range(2)]
    stacked, _ = backbone(tuple(torch.cat(parts) for parts in zip(*alone, strict=True)), later)
    torch.testing.assert_close(stacked, once, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("template_size", "search_size"), [(112, 224), (128, 256), (64, 112)])
def test_tokens_have_a_stride_of_16(template_size, search_size):
    backbone = tiny(SwinConfig(width=8, depths=(1, 2, 2), heads=(1, 2, 4)), search_size)
    template, search = images(template_size, search_size, batch=1)
    search_tokens, template_tokens = backbone(backbone.encode_template(template, BOX[:1]), search)
    assert backbone.width == 32
    assert search_tokens.shape == (1, (search_size // 16) ** 2, 32)
    assert template_tokens.shape == (1, (template_size // 16) ** 2, 32)


def test_tokens_are_row_major():
    """Without blocks that mix, a token depends only on its own patch."""
    backbone = tiny(SwinConfig(width=8, depths=(1,), heads=(1,), window=4))
    template, search = images(TEMPLATE, SEARCH)
    nn.init.zeros_(backbone.layers[0].blocks[0].attn.proj.weight)
    tokens, _ = backbone(backbone.encode_template(template, BOX), search)
    changed = search.clone()
    changed[:, :, 2 * 4 : 3 * 4, 5 * 4 : 6 * 4] += 1
    moved, _ = backbone(backbone.encode_template(template, BOX), changed)
    assert (tokens - moved).abs().amax(dim=(0, 2)).nonzero().flatten().tolist() == [2 * 16 + 5]


def test_every_parameter_gets_a_gradient():
    config = SimTrackConfig(name="simtrack", pretrained="none", backbone=TINY)
    torch.manual_seed(0)
    model = SimTrack(config, TEMPLATE, SEARCH).train()
    template, search = images(TEMPLATE, SEARCH)
    prediction = model(template, BOX, search)
    (prediction.top_left.square() + prediction.bottom_right.square()).sum().backward()
    without = [name for name, parameter in model.backbone.named_parameters() if not parameter.grad.any()]
    assert without == []
    assert prediction.boxes.shape == (2, 1, 4)


def test_bfloat16_stays_near_float32():
    backbone = tiny()
    template, search = images(TEMPLATE, SEARCH)
    expected, _ = backbone(backbone.encode_template(template, BOX), search)
    with torch.autocast("cpu", torch.bfloat16):
        tokens, _ = backbone(backbone.encode_template(template, BOX), search)
    assert F.cosine_similarity(tokens.float(), expected, dim=2).min() > 0.99


@pytest.mark.slow
def test_network_exports():
    backbone = tiny(SwinConfig(width=16, depths=(2,), heads=(2,), window=4))
    template, search = images(TEMPLATE, SEARCH)
    state = backbone.encode_template(template, BOX)
    program = torch.export.export(backbone, (state, search))
    torch.testing.assert_close(program.module()(state, search)[0], backbone(state, search)[0])


def test_tables_of_another_window_are_resized_as_timm_does():
    network, backbone = image_network(64, window_size=8), tiny()
    taken = backbone.from_image_weights(network.state_dict())
    name = "layers.1.blocks.1.attn.relative_position_bias_table"
    attention = WindowAttention(32, 4, window_size=8)
    attention.relative_position_bias_table.data = network.state_dict()[name]
    attention.set_window_size((4, 4))
    assert torch.equal(taken[name], attention.relative_position_bias_table)
    backbone.load_state_dict(taken)


@pytest.mark.slow
def test_the_experiment_is_swin_b_without_its_fourth_stage():
    """Every tensor of timm's network before the fourth stage, unchanged; published: 15.0 G multiply-adds,
    which is what a frame costs when the template is done."""
    experiment = load_experiment("simtrack_swin_b")
    source, _, name = experiment.model.pretrained.partition(":")
    sizes = experiment.template.size, experiment.search.size
    with torch.device("meta"):
        backbone = experiment.model.backbone.build(*sizes)
        weights = timm.create_model(name, pretrained=False).state_dict()
    owned = {name: value.shape for name, value in backbone.state_dict().items()}
    left = {name.split(".")[0] for name in set(weights) - set(owned) if not name.startswith("layers.3.")}
    assert source == "timm"
    assert {name: weights[name].shape for name in owned} == owned
    assert left == {"norm", "head"}
    cost = count_cost(lambda: SimTrack(experiment.model, *sizes), *sizes)
    assert cost.frame.total == pytest.approx(15.0e9, rel=0.03)
