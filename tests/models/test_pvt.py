"""PVT as SimTrack's backbone: timm's network for one image, and how template and search region meet in it."""

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.models.twins import Block
from torch import Tensor, nn

from lib.experiment.config import load_experiment
from lib.models.backbones.pvt import PVT, PVTConfig, SerialBlock, as_map
from lib.models.simtrack import SimTrack, SimTrackConfig
from lib.profiling.cost import count_cost

TINY = PVTConfig(widths=(8, 16), depths=(2, 1), heads=(1, 2), mlp_ratios=(2, 2), reductions=(4, 2), drop_path=0.0)
TEMPLATE, SEARCH = 32, 64
BOX = torch.tensor([[0.25, 0.25, 0.5, 0.5]]).expand(2, 4)


def randomize(module: nn.Module) -> None:
    """Weights large enough for attention to differ, biases and norms away from 0 and 1."""
    for name, parameter in sorted(module.named_parameters()):
        spread = 0.1 if parameter.ndim == 1 else 1.5 / parameter[0].numel() ** 0.5
        parameter.data = torch.randn_like(parameter) * spread + (parameter.ndim == 1 and "norm" in name)


def tiny(config: PVTConfig = TINY) -> PVT:
    torch.manual_seed(0)
    backbone = config.build(TEMPLATE, SEARCH).eval()
    randomize(backbone)
    return backbone


def images(*sizes: int, batch: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(batch, 3, size, size, generator=generator) for size in sizes]


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
    network, backbone = image_network(), tiny()
    backbone.load_state_dict(backbone.from_image_weights(network.state_dict()))
    [image] = images(size)
    _, stages = network.forward_intermediates(image)
    [ours] = backbone.run(backbone.embed(image))
    expected = F.layer_norm(stages[1].flatten(2).mT, (16,))
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_without_reduction_a_block_is_timms_over_all_tokens_in_one_sequence():
    ours = SerialBlock(16, 2, 2, sr_ratio=1, ws=1).eval()
    timms = Block(16, 2, 2, sr_ratio=1, ws=1).eval()
    randomize(ours)
    timms.load_state_dict(ours.state_dict())
    tokens = torch.randn(2, 16 + 64, 16, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(ours(tokens, [16, 64]), timms(tokens, (1, 80)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("ratio", [2, 4, 8])
def test_template_keys_are_those_of_the_search_region_at_twice_the_density(ratio):
    """In R/2 zeros' margin, each of the four ways to start every R-th cell at a multiple of R/2 is plain reduction."""
    block = SerialBlock(16, 2, 2, sr_ratio=ratio, ws=1)
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
    block = SerialBlock(16, 2, 2, sr_ratio=4, ws=1).eval()
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
    backbone = tiny()
    template, other, search = images(TEMPLATE, TEMPLATE, SEARCH)
    here, template_part = backbone(backbone.encode_template(template, BOX), search)
    changed, _ = backbone(backbone.encode_template(other, BOX), search)
    _, template_elsewhere = backbone(backbone.encode_template(template, BOX), search.flip(3) + 1)
    assert ((here - changed).abs().amax(dim=2) > 1e-3).all()
    assert ((template_part - template_elsewhere).abs().amax(dim=2) > 1e-3).all()


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
    backbone = tiny(PVTConfig(widths=(8, 16, 24), depths=(1, 1, 1), heads=(1, 2, 3)))
    template, search = images(template_size, search_size, batch=1)
    search_tokens, template_tokens = backbone(backbone.encode_template(template, BOX[:1]), search)
    assert backbone.width == 24
    assert search_tokens.shape == (1, (search_size // 16) ** 2, 24)
    assert template_tokens.shape == (1, (template_size // 16) ** 2, 24)


def test_tokens_are_row_major():
    """Without attention and neighbors, a token depends only on its own patch."""
    backbone = tiny(PVTConfig(widths=(8,), depths=(1,), heads=(1,), mlp_ratios=(2,), reductions=(4,)))
    template, search = images(TEMPLATE, SEARCH)
    nn.init.zeros_(backbone.blocks[0][0].attn.proj.weight)
    nn.init.zeros_(backbone.pos_block[0].proj[0].weight)
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


def test_network_exports():
    backbone = tiny(PVTConfig(widths=(8,), depths=(1,), heads=(1,), mlp_ratios=(2,), reductions=(4,)))
    template, search = images(TEMPLATE, SEARCH)
    state = backbone.encode_template(template, BOX)
    program = torch.export.export(backbone, (state, search))
    torch.testing.assert_close(program.module()(state, search)[0], backbone(state, search)[0])


@pytest.mark.slow
def test_the_experiment_is_pvt_medium_without_its_fourth_stage():
    """Every tensor of timm's network before the fourth stage, unchanged; published: 8.9 G multiply-adds."""
    experiment = load_experiment("simtrack_pvt_m")
    source, _, name = experiment.model.pretrained.partition(":")
    sizes = experiment.template.size, experiment.search.size
    with torch.device("meta"):
        backbone = experiment.model.backbone.build(*sizes)
    weights = timm.create_model(name, pretrained=False).state_dict()
    owned = {name: value.shape for name, value in backbone.state_dict().items()}
    fourth = ("patch_embeds.3.", "blocks.3.", "pos_block.3.")
    left = {name.split(".")[0] for name in set(weights) - set(owned) if not name.startswith(fourth)}
    assert source == "timm"
    assert {name: weights[name].shape for name in owned} == owned
    assert left == {"norm", "head"}
    cost = count_cost(lambda: SimTrack(experiment.model, *sizes), *sizes)
    assert cost.frame.total == pytest.approx(8.9e9, rel=0.03)
