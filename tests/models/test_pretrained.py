"""Foreign weights: names, resized positions, strict reports."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lib.models.backbones.vit import ViTConfig
from lib.models.grm import GRM, GRMConfig
from lib.models.heads.config import HeadConfig
from lib.models.layers.division import DivisionConfig
from lib.models.pretrained import load_initial, load_released
from lib.runtime.checkpoint import CheckpointError


def tiny(relation: str = "adaptive", width: int = 16) -> GRM:
    config = GRMConfig(
        name="grm",
        pretrained="none",
        backbone=ViTConfig(width=width, depth=2, heads=2, patch=8),
        division=DivisionConfig(relation=relation, hidden=8),
        head=HeadConfig(kind="center", channels=16),
    )
    return GRM(config, template_size=16, search_size=32)


def image_weights(prefix_tokens: int) -> dict[str, torch.Tensor]:
    """A stand-in for MAE's or DeiT's file: our backbone's tensors under their names, 3 x 3 positions."""
    donor = tiny("one_stream").state_dict()
    weights = {
        name.removeprefix("backbone."): torch.randn_like(value)
        for name, value in donor.items()
        if name.startswith("backbone.") and "pos_embed" not in name
    }
    return weights | {"cls_token": torch.randn(1, 1, 16), "pos_embed": torch.randn(1, 9 + prefix_tokens, 16)}


def released(relation: str = "adaptive") -> dict[str, torch.Tensor]:
    unused = {"backbone.cls_token": torch.zeros(1, 1, 16), "backbone.pos_embed": torch.zeros(1, 10, 16)}
    return unused | {name: torch.randn(value.shape) for name, value in tiny(relation).state_dict().items()}


@pytest.mark.parametrize("relation", ["adaptive", "one_stream", "two_stream"])
def test_released_weights_load_into_every_variant_and_the_report_says_what_was_dropped(relation):
    weights, model = released(), tiny(relation)
    report = load_released(model, weights)
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name].to(value.dtype))
    dropped = {"backbone.cls_token", "backbone.pos_embed"}
    if relation != "adaptive":
        dropped |= {name for name in weights if ".divide_predict." in name}
    assert set(report.dropped) == dropped
    assert set(report.taken) | dropped == set(weights)
    assert f"{len(report.taken)} tensors taken" in str(report)


def test_missing_unexpected_and_reshaped_keys_are_all_named_and_nothing_is_loaded():
    weights, model = released(), tiny()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weights["backbone.stranger"] = torch.zeros(1)
    del weights["backbone.norm.weight"]
    weights["box_head.conv5_ctr.bias"] = torch.zeros(2)
    with pytest.raises(CheckpointError) as error:
        load_released(model, weights)
    for word in ("1 missing: backbone.norm.weight", "1 unexpected: backbone.stranger", "box_head.conv5_ctr.bias (2,)"):
        assert word in str(error.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("prefix_tokens", [1, 2])
@pytest.mark.parametrize("wrapped", [True, False])
def test_image_weights_fill_the_backbone_with_resized_positions(tmp_path, prefix_tokens, wrapped):
    weights, model = image_weights(prefix_tokens), tiny()
    head = model.box_head.conv5_ctr.weight.clone()
    torch.save({"model": weights} if wrapped else weights, tmp_path / "mae.pth")
    report = load_initial(model, "mae.pth", tmp_path)
    assert torch.equal(model.backbone.blocks[1].attn.qkv.weight, weights["blocks.1.attn.qkv.weight"])
    image = weights["pos_embed"][:, prefix_tokens:].reshape(1, 3, 3, 16).permute(0, 3, 1, 2)
    for table, grid in ((model.backbone.pos_embed_z, 2), (model.backbone.pos_embed_x, 4)):
        expected = F.interpolate(image, (grid, grid), mode="bicubic", align_corners=False)
        torch.testing.assert_close(table.detach(), expected.permute(0, 2, 3, 1).reshape(1, grid**2, 16))
    assert torch.equal(model.box_head.conv5_ctr.weight, head)
    assert "cls_token" in report.dropped
    assert any(".divide_predict." in name for name in report.initialised)


def test_an_absent_file_says_where_it_comes_from(tmp_path):
    with pytest.raises(CheckpointError, match=r"dl\.fbaipublicfiles\.com/mae.*model\.pretrained=none"):
        load_initial(tiny(), "mae_pretrain_vit_base.pth", tmp_path)
    with pytest.raises(CheckpointError, match="known files are mae_pretrain_vit_base.pth"):
        load_initial(tiny(), "mine.pth", tmp_path)


def test_weights_of_another_width_are_refused(tmp_path):
    torch.save(image_weights(1), tmp_path / "mae.pth")
    with pytest.raises(CheckpointError, match="mae.pth: of another model"):
        load_initial(tiny(width=32), "mae.pth", tmp_path)


def test_a_file_without_a_transformer_is_named(tmp_path):
    torch.save({"model": {"conv.weight": torch.zeros(1)}}, tmp_path / "resnet.pth")
    with pytest.raises(CheckpointError, match="resnet.pth holds no image transformer"):
        load_initial(tiny(), "resnet.pth", tmp_path)
