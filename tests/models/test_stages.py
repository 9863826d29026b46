"""What the backbones in stages, Swin and PVT, share as SimTrack's."""

import pytest
import timm
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from staged_backbones import BOX, SEARCH, TEMPLATE, TINY, built, images
from torch import nn

from lib.experiment.config import load_experiment
from lib.models.backbones.pvt import PVTConfig
from lib.models.backbones.stages import StagesConfig
from lib.models.backbones.swin import SwinConfig
from lib.models.simtrack import SimTrack, SimTrackConfig


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (SwinConfig, {"heads": (4, 8)}, "depths, heads must have an entry for each stage"),
        (SwinConfig, {"heads": (4, 8, 24)}, "heads: 24 does not divide its stage's width 512"),
        (SwinConfig, {"depths": (2, 0, 18)}, "greater than or equal to 1"),
        (PVTConfig, {"mlp_ratios": (8, 8)}, "mlp_ratios, reductions must have an entry for each stage"),
        (PVTConfig, {"heads": (1, 2, 7)}, "heads: 7 does not divide its stage's width 320"),
        (PVTConfig, {"reductions": (8, 4, 3)}, "reductions: 3 is odd"),
    ],
)
def test_stages_that_do_not_agree_are_refused(kind: type[StagesConfig], changes, message):
    with pytest.raises(ValidationError, match=message):
        kind(**changes)


def test_drop_path_grows_linearly_over_the_blocks_of_all_stages():
    assert [*SwinConfig(depths=(1, 2, 2), drop_path=0.4).drop_path_rates()] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("kind", TINY)
def test_a_template_is_encoded_once_and_states_stack(kind):
    backbone = built(TINY[kind])
    template, search, later = images(TEMPLATE, SEARCH, SEARCH)
    state = backbone.encode_template(template, BOX)
    backbone(state, search)
    once, _ = backbone(state, later)
    again, _ = backbone(backbone.encode_template(template, BOX), later)
    assert torch.equal(once, again)
    alone = [backbone.encode_template(template[i : i + 1], BOX[:1]) for i in range(2)]
    stacked, _ = backbone(tuple(torch.cat(parts) for parts in zip(*alone, strict=True)), later)
    torch.testing.assert_close(stacked, once, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("config", [
    SwinConfig(width=8, depths=(1, 2, 2), heads=(1, 2, 4)),
    PVTConfig(widths=(8, 16, 32), depths=(1, 1, 1), heads=(1, 2, 4)),
], ids=TINY)  # fmt: skip
@pytest.mark.parametrize(("template_size", "search_size"), [(112, 224), (128, 256), (64, 112)])
def test_tokens_have_a_stride_of_16(config, template_size, search_size):
    backbone = built(config, search_size)
    template, search = images(template_size, search_size, batch=1)
    search_tokens, template_tokens = backbone(backbone.encode_template(template, BOX[:1]), search)
    assert backbone.width == 32
    assert search_tokens.shape == (1, (search_size // 16) ** 2, 32)
    assert template_tokens.shape == (1, (template_size // 16) ** 2, 32)


@pytest.mark.parametrize("config", [
    SwinConfig(width=8, depths=(1,), heads=(1,), window=4),
    PVTConfig(widths=(8,), depths=(1,), heads=(1,), mlp_ratios=(2,), reductions=(4,)),
], ids=TINY)  # fmt: skip
def test_tokens_are_row_major(config):
    """Without attention and PVT's convolution of neighbors, a token depends only on its own patch."""
    backbone = built(config)
    for name, parameter in backbone.named_parameters():
        if name.endswith(("attn.proj.weight", "pos_block.0.proj.0.weight")):
            nn.init.zeros_(parameter)
    template, search = images(TEMPLATE, SEARCH)
    tokens, _ = backbone(backbone.encode_template(template, BOX), search)
    changed = search.clone()
    changed[:, :, 2 * 4 : 3 * 4, 5 * 4 : 6 * 4] += 1
    moved, _ = backbone(backbone.encode_template(template, BOX), changed)
    assert (tokens - moved).abs().amax(dim=(0, 2)).nonzero().flatten().tolist() == [2 * 16 + 5]


@pytest.mark.parametrize("kind", TINY)
def test_every_parameter_gets_a_gradient(kind):
    torch.manual_seed(0)
    model = SimTrack(SimTrackConfig(name="simtrack", pretrained="none", backbone=TINY[kind]), TEMPLATE, SEARCH).train()
    template, search = images(TEMPLATE, SEARCH)
    prediction = model(template, BOX, search)
    (prediction.top_left.square() + prediction.bottom_right.square()).sum().backward()
    assert [name for name, parameter in model.backbone.named_parameters() if not parameter.grad.any()] == []
    assert prediction.boxes.shape == (2, 1, 4)


@pytest.mark.parametrize("kind", TINY)
def test_bfloat16_stays_near_float32(kind):
    backbone = built(TINY[kind])
    template, search = images(TEMPLATE, SEARCH)
    expected, _ = backbone(backbone.encode_template(template, BOX), search)
    with torch.autocast("cpu", torch.bfloat16):
        tokens, _ = backbone(backbone.encode_template(template, BOX), search)
    assert F.cosine_similarity(tokens.float(), expected, dim=2).min() > 0.99


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fourth"), [
    ("simtrack_swin_b", "layers.3."), ("simtrack_pvt_m", ("patch_embeds.3.", "blocks.3.", "pos_block.3.")),
])  # fmt: skip
def test_the_published_networks_are_timms_without_their_fourth_stage(name, fourth):
    """Every tensor of timm's network before that stage, unchanged."""
    experiment = load_experiment(name)
    source, _, name = experiment.model.pretrained.partition(":")
    with torch.device("meta"):
        backbone = experiment.model.backbone.build(experiment.template.size, experiment.search.size)
    weights = timm.create_model(name, pretrained=False).state_dict()
    owned = {name: value.shape for name, value in backbone.state_dict().items()}
    assert source == "timm"
    assert {name: weights[name].shape for name in owned} == owned
    left = {name.split(".")[0] for name in set(weights) - set(owned) if not name.startswith(fourth)}
    assert left == {"norm", "head"}
