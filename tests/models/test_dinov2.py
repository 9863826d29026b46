"""DINOv2's transformer against timm's own, and updates of its layers that merge into the same function."""

import numpy as np
import pytest
import timm
import torch
from reference_weights import REFERENCE, filled_tensor

from lib.models.backbones.dinov2 import DINOv2Block, DINOv2Config
from lib.models.layers.lora import LoRAConfig, LoRALinear, add_lora, merge_lora
from lib.models.weights.renaming import DINOV2, replaced

SIZES = {"width": 32, "depth": 2, "heads": 2, "patch": 4}


def vit(swiglu: bool) -> timm.models.VisionTransformer:
    torch.manual_seed(0)
    packed = {"mlp_ratio": 5.5, "mlp_layer": timm.layers.SwiGLUPacked, "act_layer": torch.nn.SiLU}
    network = timm.models.VisionTransformer(
        img_size=32, patch_size=4, embed_dim=32, depth=2, num_heads=2, init_values=0.5, num_classes=0,
        **(packed if swiglu else {}),
    )  # fmt: skip
    for parameter in network.parameters():
        parameter.data += torch.randn_like(parameter) / 10
    return network.eval()


@pytest.mark.parametrize("swiglu", [False, True])
@torch.inference_mode()
def test_a_block_computes_as_timms_does(swiglu):
    network = vit(swiglu)
    block = DINOv2Block(DINOv2Config(**SIZES, ffn="swiglu" if swiglu else "mlp")).eval()
    theirs = {n.removeprefix("blocks.1."): v for n, v in network.state_dict().items() if n.startswith("blocks.1.")}
    block.load_state_dict(theirs)
    tokens = torch.randn(3, 5, 32)
    torch.testing.assert_close(block(tokens), network.blocks[1](tokens), atol=1e-5, rtol=1e-5)


def test_dinov2s_own_names_of_swiglu_become_timms():
    names = ["blocks.0.mlp.w12.weight", "blocks.0.mlp.w3.bias", "blocks.0.mlp.fc1.weight", "norm.weight"]
    found = replaced({name: torch.empty(0) for name in names[:2] + names[3:]}, DINOV2)
    assert list(found) == ["blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc2.bias", "norm.weight"]


@torch.inference_mode()
def test_the_positions_of_both_crops_come_from_one_table():
    network = vit(False)
    backbone = DINOv2Config(**SIZES).build(16, 32).eval()
    taken = backbone.from_image_weights(network.state_dict())
    assert taken.keys() == backbone.state_dict().keys()
    backbone.load_state_dict(taken)
    images = torch.randn(2, 3, 32, 32)
    expected = network.patch_embed(images) + network.pos_embed[:, 1:]
    torch.testing.assert_close(backbone.embed_search(images), expected)
    corner = expected.unflatten(1, (8, 8))[:, :4, :4].flatten(1, 2)
    torch.testing.assert_close(backbone.embed_template(images[:, :, :16, :16]), corner)


@pytest.mark.parametrize("layers", [("q", "v"), ("fc1",), ("q", "k", "v", "proj", "fc1", "fc2")])
@pytest.mark.parametrize("init", ["bert", "lora", "gaussian"])
@torch.inference_mode()
def test_updates_start_by_their_rule_and_merge_into_the_same_function(layers, init):
    torch.manual_seed(2)
    config = LoRAConfig(rank=4, alpha=8.0, layers=layers, init=init, rslora=init == "bert")
    plain = DINOv2Config(**SIZES).build(16, 32).blocks.eval()
    tokens = torch.randn(2, 5, 32)
    before, names = plain[0](tokens), set(plain.state_dict())
    add_lora(plain, config)
    apart = (plain[0](tokens) - before).abs().max()
    assert apart > 1e-6 if init == "bert" else apart < 1e-5
    updates = [module for module in plain.modules() if hasattr(module, "scaling")]
    assert len(updates) == 2 * len(layers)
    assert {module.scaling for module in updates} == {4.0 if init == "bert" else 2.0}
    for module in updates:
        torch.nn.init.normal_(module.B, std=0.1)
    expected = plain[0](tokens)
    merge_lora(plain)
    assert set(plain.state_dict()) == names
    torch.testing.assert_close(plain[0](tokens), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("alpha", [2, 64])
@pytest.mark.parametrize("kind", ["plain", "rs"])
@torch.inference_mode()
def test_a_layer_with_an_update_equals_the_recorded(alpha, kind):
    recorded = np.load(REFERENCE / "lorat_loss.golden.npz", allow_pickle=False)
    shapes = {"linear.weight": (6, 8), "linear.bias": (6,), "lora.A": (4, 8), "lora.B": (6, 4)}
    layer = LoRALinear(torch.nn.Linear(8, 6), LoRAConfig(rank=4, alpha=float(alpha), rslora=kind == "rs"))
    layer.load_state_dict({name: filled_tensor(f"unit.{name}", shape, 0) for name, shape in shapes.items()})
    expected = recorded[f"unit.r4_alpha{alpha}_{kind}"]
    for ours in (layer, layer.merged()):
        np.testing.assert_allclose(ours(torch.from_numpy(recorded["unit.x"])), expected, rtol=1e-5, atol=1e-5)
