"""STARK-SV against the recorded outputs of the public STARK-S head, its backbone against timm's, and what it keeps."""

import copy
import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from reference_weights import REFERENCE, filled_state_dict, image_tensor
from timm.layers import QuickGELU
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from torchvision.ops import box_convert

from lib.models.heads.convolutions import run_branch
from lib.models.heads.registry import HeadConfig
from lib.models.stark_sv import (
    FAMILY,
    SiameseViT,
    SiameseViTConfig,
    StarkSV,
    StarkSVConfig,
    TransformerConfig,
)
from lib.models.weights.released import as_ours, load_released


def tiny() -> StarkSV:
    """Template 32, search 64: grids of 2 and 4 cells. Biases and norms are not at 0 and 1."""
    torch.manual_seed(0)
    config = StarkSVConfig(
        name="stark_sv",
        pretrained="none",
        backbone=SiameseViTConfig(width=32, depth=2, heads=2, patch=16),
        transformer=TransformerConfig(width=16, heads=2, ffn=24, encoder=2, decoder=2),
        head=HeadConfig(kind="corner", channels=16),
    )
    model = StarkSV(config, template_size=32, search_size=64)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) / 20)
    return model.eval()


def crops(batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    template, search = (torch.randn(batch, 3, size, size, generator=generator) for size in (32, 64))
    return template, torch.tensor([[0.25, 0.25, 0.5, 0.5]]).expand(batch, 4), search


# Neck and head against the recorded numbers


@functools.cache
def recorded_network() -> StarkSV:
    """STARK-S's neck and head with the rule's weights, for 768 channels; the ViT before them is not called."""
    config = StarkSVConfig(name="stark_sv", pretrained="none", backbone=SiameseViTConfig(depth=1))
    model = StarkSV(config, 112, 224).eval()
    inside = {name: value for name, value in model.state_dict().items() if name.startswith("backbone.")}
    load_released(model, {**inside, **filled_state_dict("stark_s_head", 0)})
    return model  # shared by the tests of this file, which leave it as it is


def recorded_features() -> list[Tensor]:
    """Features of both images as tokens."""
    sides = {"template": 7, "search": 14}
    images = [image_tensor((2, 768, side, side), f"{name}_feat", 0) for name, side in sides.items()]
    return [image.flatten(2).transpose(1, 2) for image in images]


def places_beside_padding(outside: Tensor, width: int) -> Tensor:
    """STARK's positions ``[B, N, C]`` on a grid, counting only cells that are not ``outside`` (bool ``[B, F, F]``)."""
    frequencies = 10000 ** (2 * (torch.arange(width // 2) // 2) / (width // 2))
    halves = []
    for axis in (1, 2):
        count = (~outside).cumsum(axis).float()
        angles = (count / (count.amax(axis, keepdim=True) + 1e-6) * 2 * math.pi)[..., None] / frequencies
        halves.append(torch.stack([angles[..., 0::2].sin(), angles[..., 1::2].cos()], dim=-1).flatten(-2))
    return torch.cat(halves, dim=-1).flatten(1, 2)


@contextmanager
def masked(model: StarkSV, outside: Tensor) -> Iterator[None]:
    """In the block the model leaves out tokens ``outside`` bool ``[B, N]``, as the public code does with padding: they
    are not attended to, nor counted in the positions."""

    def leave_out(module: torch.nn.Module, given: tuple, keywords: dict) -> tuple[tuple, dict]:
        return given, keywords | {"key_padding_mask": outside}

    transformer, positions = model.transformer, model.positions
    attentions = [layer.self_attn for layer in transformer.encoder["layers"]]
    attentions += [layer.multihead_attn for layer in transformer.decoder.layers]
    handles = [module.register_forward_pre_hook(leave_out, with_kwargs=True) for module in attentions]
    grids = zip(outside.split([49, 196], dim=1), (7, 14), strict=True)
    places = [places_beside_padding(part.unflatten(1, (side, side)), positions.shape[2]) for part, side in grids]
    model.positions = torch.cat(places, dim=1).to(positions.dtype)
    yield
    model.positions = positions
    for handle in handles:
        handle.remove()


def decode(model: StarkSV, *features: Tensor) -> tuple[Tensor, Tensor]:
    """The memory and the decoded query from the backbone's tokens of both images."""
    tokens = torch.cat([model.project(part) for part in features], dim=1)
    return model.transformer(tokens, model.positions, model.query_embed.weight)


def boxes_of(maps: list[Tensor]) -> Tensor:
    """Boxes ``[B, 4]`` from corner maps ``[B, F, F]``: the mean place of a cell's upper left corner."""
    corners = []
    for logits in maps:
        side = logits.shape[-1]
        rows, columns = torch.meshgrid(*[torch.arange(side, dtype=logits.dtype) / side] * 2, indexing="ij")
        weights = logits.flatten(1).softmax(dim=1)
        corners.append(torch.stack([weights @ columns.flatten(), weights @ rows.flatten()], dim=1))
    return box_convert(torch.cat(corners, dim=1), "xyxy", "cxcywh")


@torch.inference_mode()
def test_neck_and_head_equal_the_recorded_outputs():
    """In float64, so that the sums' order, which moves float32 maps (up to 56 here) by 2e-4 and boxes by 4e-6, is no
    part of the comparison; then in float32, as it runs."""
    golden = np.load(REFERENCE / "stark_s_head.golden.npz")
    model, features = recorded_network(), recorded_features()
    outside = torch.from_numpy(golden["mask_tokens"])
    assert outside.any(dim=1).tolist() == [False, True]  # padding in the second of two samples
    own_positions = model.positions
    with masked(model, outside):
        np.testing.assert_allclose(model.positions[..., ::16].numpy(), golden["pos_slice"], atol=1e-6)
        torch.testing.assert_close(model.positions[:1], own_positions)
        prediction = model.predict(*decode(model, *features))

    model = copy.deepcopy(model).double()
    with masked(model, outside):
        memory, query = decode(model, *(tokens.double() for tokens in features))
    found = memory[:, 49:]
    attention = found @ query.transpose(1, 2)
    modulated = (found * attention).transpose(1, 2).unflatten(2, (14, 14))
    maps = [run_branch(model.box_head, branch, modulated).squeeze(1) for branch in ("tl", "br")]
    boxes = boxes_of(maps)
    for key, ours, bound in (
        ("hs", query.squeeze(1), 5e-6),
        ("memory_slice", memory[:, ::16, :16], 5e-6),
        ("attention", attention.view(2, 14, 14), 1e-4),
        ("score_tl", maps[0], 1e-4),
        ("score_br", maps[1], 1e-4),
        ("pred_boxes", boxes, 2e-6),
    ):
        difference = np.abs(golden[key] - ours.numpy()).max()
        assert difference <= bound, f"{key}: {difference:.1e} > {bound:.0e}"

    for ours, exact, bound in (
        (prediction.extras["attention"], attention.view(2, 14, 14), 2e-4),
        (prediction.top_left, maps[0], 1e-3),
        (prediction.bottom_right, maps[1], 1e-3),
        (prediction.boxes.squeeze(1), boxes, 2e-5),
    ):
        torch.testing.assert_close(ours.double(), exact, atol=bound, rtol=0)


# Loading


def test_clips_names_in_the_backbone_become_ours_and_our_names_stay():
    published = [
        "backbone.visual.transformer.resblocks.1.attn.in_proj_weight",
        "backbone.visual.ln_pre.weight",
        "transformer.decoder.norm.weight",
        "box_head.conv5_tl.weight",
    ]
    ours = ["backbone.blocks.1.attn.qkv.weight", "backbone.norm_pre.weight", *published[2:]]
    assert set(as_ours(FAMILY, {name: torch.zeros(1) for name in published})) == set(ours)
    weights = tiny().state_dict()
    assert as_ours(FAMILY, weights) == weights


# The backbone


@pytest.mark.parametrize("style", ["clip", "timm"])
def test_the_backbone_is_timms_vision_transformer_with_every_token_normed(style):
    torch.manual_seed(0)
    clip = style == "clip"
    ours = SiameseViT(SiameseViTConfig(style=style, width=32, depth=2, heads=2, patch=32)).eval()
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    theirs = VisionTransformer(
        patch_size=32,
        embed_dim=32,
        depth=2,
        num_heads=2,
        num_classes=0,
        pre_norm=clip,
        act_layer=QuickGELU if clip else torch.nn.GELU,
        norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-5 if clip else 1e-6),
        global_pool="",
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 224, 224)
    torch.testing.assert_close(ours(images), theirs.forward_features(images)[:, 1:], atol=1e-5, rtol=1e-5)


# The family


def test_the_head_reads_the_modulated_search_features():
    model = tiny()
    answer = model(*crops())
    template, _, search = crops()
    memory, query = decode(model, model.backbone(template), model.backbone(search))
    assert memory.shape == (2, 4 + 16, 16)
    found = memory[:, 4:]
    attention = torch.einsum("bnc,bc->bn", found, query[:, 0])
    torch.testing.assert_close(answer.extras["attention"], attention.view(2, 4, 4))
    features = torch.einsum("bnc,bn->bcn", found, attention).view(2, 16, 4, 4)
    torch.testing.assert_close(answer.boxes, model.box_head(features).boxes)


def test_memory_and_maps_stay_float32_under_bfloat16():
    model = tiny()
    template, box, search = crops()
    with torch.autocast("cpu", torch.bfloat16):
        (state,) = model.encode_template(template, box)
        memory, query = decode(model, model.backbone(template), model.backbone(search))
        prediction = model.locate((state,), search)
    parts = (state, memory, query, *prediction[:-1], *prediction.extras.values())
    assert {part.dtype for part in parts} == {torch.float32}
