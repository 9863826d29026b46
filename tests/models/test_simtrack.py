"""SimTrack against the recorded outputs of the public code, and what every variant of it promises."""

import functools

import numpy as np
import pytest
import torch
from reference_weights import REFERENCE, filled_state_dict, image_tensor
from torch import Tensor
from torchvision.ops import box_convert

from lib.models.layers.detr import sine_positions
from lib.models.simtrack import SimTrack, SimTrackConfig, covered_share, foveal_window
from lib.models.weights.released import load_released

GOLDEN = np.load(REFERENCE / "simtrack_b16.golden.npz", allow_pickle=False)
TINY = {
    "name": "simtrack",
    "pretrained": "none",
    "backbone": {"kind": "vit", "width": 32, "depth": 2, "heads": 2, "patch": 8, "foveal": 16},
    "bottleneck": 16,
    "head": {"kind": "corner", "channels": 16},
}


def inputs(batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    template, search = (torch.randn(batch, 3, size, size, generator=generator) for size in (40, 64))
    return template, torch.tensor([[0.2, 0.3, 0.5, 0.4]]).expand(batch, 4), search


# The published network


@functools.cache
def published() -> SimTrack:
    model = SimTrack(SimTrackConfig(name="simtrack", pretrained="none"), 112, 224).eval()
    load_released(model, filled_state_dict("simtrack_b16", seed=0))
    return model


def images() -> tuple[Tensor, Tensor]:
    return image_tensor((2, 3, 112, 112), "template", 0), image_tensor((2, 3, 224, 224), "search", 0)


def compare(key: str, ours: Tensor, bound: float) -> None:
    difference = np.abs(GOLDEN[key].astype(np.float64) - ours.double().numpy()).max()
    assert difference <= bound, f"{key}: {difference:.2e} > {bound:.0e}"


@pytest.mark.slow
@torch.inference_mode()
def test_boxes_and_maps_equal_the_recorded_ones():
    template, search = images()
    box = torch.from_numpy(GOLDEN["template_anno"])
    prediction = published()(template, box, search)
    compare("pred_boxes", prediction.boxes[:, 0], 2e-6)
    compare("corners_xyxy", box_convert(prediction.boxes[:, 0], "cxcywh", "xyxy"), 2e-6)
    for ours, theirs in ((prediction.top_left, "tl"), (prediction.bottom_right, "br")):
        compare(f"score_{theirs}", ours, 1e-4)
        compare(f"prob_{theirs}", ours.flatten(1).softmax(dim=1).view_as(ours), 2e-6)
    peaks = [torch.from_numpy(GOLDEN[f"prob_{corner}"]).flatten(1).amax(dim=1) for corner in ("tl", "br")]
    torch.testing.assert_close(prediction.scores[:, 0], peaks[0] * peaks[1], rtol=1e-4, atol=0)
    compare("pred_boxes_anno_swapped", published()(template, box.flip(0), search).boxes[:, 0], 2e-6)


@pytest.mark.slow
@torch.inference_mode()
def test_what_the_template_becomes_equals_the_recorded_steps():
    backbone, (template, _) = published().backbone, images()
    box = torch.from_numpy(GOLDEN["template_anno"])
    share = covered_share(box, 7)
    compare("ratio", share, 1e-6)
    centers = (torch.arange(7) + 0.5) / 7
    rows, columns = torch.meshgrid(centers, centers, indexing="ij")
    described = torch.stack([(share + 1) / 2, columns.expand_as(share), rows.expand_as(share)], dim=-1)
    compare("pos_fc_in", described.flatten(1, 2), 1e-6)
    positions = backbone.pos_fc(box, 7)
    compare("template_pos", positions[..., :32], 2e-6)
    moments = torch.stack([positions.mean(dim=(1, 2)), positions.std(dim=(1, 2), unbiased=False)], dim=1)
    compare("template_pos_stats", moments, 1e-6)
    middle = backbone.patch_embed(foveal_window(template, 16, 4))
    compare("foveal_patch", middle[..., :16], 1e-5)
    (state,) = backbone.encode_template(template, box)
    compare("foveal_pos", (state[:, 49:] - middle)[..., :32], 1e-5)


@pytest.mark.slow
@torch.inference_mode()
def test_tokens_equal_the_recorded_ones():
    """The published order is template, class, search, foveal; ours has the foveal tokens second."""
    model, (template, search) = published(), images()
    backbone = model.backbone
    state = backbone.encode_template(template, torch.from_numpy(GOLDEN["template_anno"]))
    tokens = torch.cat([state[0], backbone.embed(search)], dim=1)
    order = torch.cat([torch.arange(49), torch.arange(65, 262), torch.arange(49, 65)])
    index = torch.from_numpy(GOLDEN["tokens_in_index"])
    compare("tokens_in", tokens[:, order][:, index, :16], 1e-5)
    compare("tokens_in_ln", backbone.norm_pre(tokens)[:, order][:, index, :16], 1e-5)
    region, template_part = backbone(state, search)
    # Numbers 49, the class token, is not given out.
    index, kept = torch.from_numpy(GOLDEN["backbone_index"]), GOLDEN["backbone_index"] != 49
    given = torch.cat([template_part, template_part[:, :1], region], dim=1)[:, index[torch.from_numpy(kept)]]
    assert np.abs(GOLDEN["backbone_slice"][:, kept] - given[..., :16].numpy()).max() < 1e-4
    narrow = model.bottleneck(given)[..., :16].numpy()
    assert np.abs(GOLDEN["bottleneck_slice"][:, kept] - narrow).max() < 1e-4
    features = model.bottleneck(region).transpose(1, 2).unflatten(2, (14, 14))
    compare("search_feat_slice", features[:, :8, 5:8, 5:8], 1e-4)


@pytest.mark.parametrize(("patch", "template", "search"), [(32, 128, 320), (16, 112, 224), (14, 84, 224)])
def test_the_heads_grid_is_the_backbones(patch, template, search):
    """The repository's head is made for cells of 16 pixels, also for other patches."""
    backbone = {"patch": patch, "foveal": 42 if patch == 14 else 64}
    config = TINY | {"backbone": TINY["backbone"] | backbone}
    model = SimTrack(SimTrackConfig.model_validate(config), template, search).eval()
    grid = search // patch
    assert torch.equal(model.box_head.positions[:grid, 0], torch.arange(grid) / grid)
    with torch.inference_mode():
        images = torch.zeros(1, 3, template, template), torch.zeros(1, 3, search, search)
        prediction = model(images[0], torch.tensor([[0.25, 0.25, 0.5, 0.5]]), images[1])
    assert prediction.top_left.shape == (1, grid, grid)


# The decoder


@torch.inference_mode()
def test_decoder_asks_with_search_tokens_about_template_tokens():
    """It gets both kinds of tokens behind the bottleneck and the places of their grids; the head gets its answer."""
    model = SimTrack(SimTrackConfig.model_validate(TINY | {"decoder_layers": 2}), 40, 64).eval()
    template, box, search = inputs()
    state = model.encode_template(template, box)
    search_tokens, template_tokens = (model.bottleneck(tokens) for tokens in model.backbone(state, search))
    seen = {}
    model.decoder.register_forward_hook(lambda _, given, answer: seen.update(given=given, answer=answer))
    model.box_head.register_forward_pre_hook(lambda _, given: seen.update(head=given[0]))
    model.locate(state, search)
    grid, template_grid = model.search_grid, model.template_grid
    places = [sine_positions(side, search_tokens.shape[-1]) for side in (grid, template_grid)]
    for ours, expected in zip(seen["given"], (search_tokens, places[0], template_tokens, places[1]), strict=True):
        assert torch.equal(ours, expected)
    assert torch.equal(seen["head"].flatten(2).transpose(1, 2), seen["answer"])
    assert not torch.equal(seen["answer"], search_tokens)
