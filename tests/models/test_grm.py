"""GRM against the recorded outputs of the public code, and what every variant of it promises."""

import numpy as np
import pytest
import torch
from reference_weights import REFERENCE, filled_state_dict, image_tensor

from lib.models.backbones.vit import ViTConfig
from lib.models.grm import GRM, DivisionConfig, GRMConfig
from lib.models.heads.registry import HeadConfig
from lib.models.weights.released import load_released

TINY = {"backbone": ViTConfig(width=32, depth=3, heads=2, patch=8), "head": HeadConfig(kind="center", channels=16)}


def tiny(**division) -> GRM:
    torch.manual_seed(0)
    config = GRMConfig(name="grm", pretrained="none", division=DivisionConfig(hidden=16, **division), **TINY)
    return GRM(config, template_size=32, search_size=64)


def inputs(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    template, search = (torch.randn(batch, 3, size, size, generator=generator) for size in (32, 64))
    return template, torch.tensor([[0.25, 0.25, 0.5, 0.5]]).expand(batch, 4), search


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "backbone", "search_size", "cases", "tolerance"),
    [
        ("grm_vitb_256", ViTConfig(), 256, ("0", "0.4", "allavg", "roimax", "roiavg"), 1),
        ("grm_vitl_320", ViTConfig(width=1024, depth=24, heads=16), 320, ("0", "0.4"), 3),
    ],
)
@torch.inference_mode()
def test_outputs_of_every_target_and_threshold_equal_the_recorded(name, backbone, search_size, cases, tolerance):
    """``tolerance`` scales the bounds stated for ViT-B."""
    golden = np.load(REFERENCE / f"{name}.golden.npz")
    seed, boxes = int(golden["seed"]), torch.from_numpy(golden["template_box"])
    model = GRM(GRMConfig(name="grm", pretrained="none", backbone=backbone), 128, search_size).eval()
    load_released(model, filled_state_dict(name, seed))
    template = image_tensor((len(boxes), 3, 128, 128), "template", seed)
    search = image_tensor((len(boxes), 3, search_size, search_size), "search", seed)

    def compare(key: str, ours: torch.Tensor, bound: float) -> None:
        difference = np.abs(golden[key].astype(np.float64) - ours.double().numpy()).max()
        assert difference <= bound * tolerance, f"{key}: {difference:.2e} > {bound * tolerance:.0e}"

    for case in cases:
        division = {"0": {}, "0.4": {"threshold": 0.4}}.get(case, {"target": case})
        for block in model.backbone.blocks:
            block.division = DivisionConfig(softmax="published", **division)
        prediction = model(template, boxes, search)
        decisions = prediction.extras["interacts"].transpose(0, 1)
        if f"logp_{case}" in golden:
            compare(f"logp_{case}", prediction.extras["division_log_probs"].transpose(0, 1), 3e-5)
            compare(f"size_map_{case}", prediction.size_map, 5e-6)
            compare(f"offset_map_{case}", prediction.offset_map, 2e-5)
            log_probs = golden[f"logp_{case}"].astype(np.float64)
            decided = np.abs(np.exp(log_probs[..., 0]) - division.get("threshold", 0.5)) > 1e-4
            assert decided.mean() > 0.99
            assert np.array_equal(decisions.numpy()[decided], golden[f"decision_{case}"][decided])
        else:
            assert float(golden[f"margin_{case}"]) > 1e-6
            assert np.array_equal(decisions.numpy(), golden[f"decision_{case}"])
        compare(f"score_map_{case}", prediction.score_map, 5e-6)
        best = prediction.scores.argmax(dim=1)
        if f"pred_boxes_{case}" in golden:
            compare(f"pred_boxes_{case}", prediction.boxes[torch.arange(len(best)), best][:, None], 5e-6)


def test_only_an_adaptive_network_has_predictors_to_train():
    for relation in ("adaptive", "one_stream", "two_stream"):
        assert bool(tiny(relation=relation).parameter_groups()["division"]) == (relation == "adaptive")


def test_one_stream_equals_adaptive_if_every_token_interacts():
    adaptive, one_stream = tiny(ratio=1.0).eval(), tiny(relation="one_stream").eval()
    load_released(one_stream, adaptive.state_dict())
    expected, ours = adaptive(*inputs()), one_stream(*inputs())
    torch.testing.assert_close(ours.boxes, expected.boxes, atol=1e-5, rtol=1e-5)
    assert expected.extras["interacts"].shape == (2, 2, 64)
    assert expected.extras["interacts"].all()
    assert ours.extras["interacts"].shape == (2, 0, 64)


def test_two_stream_equals_adaptive_if_every_token_is_separate():
    adaptive, two_stream = tiny(ratio=0.0).eval(), tiny(relation="two_stream").eval()
    load_released(two_stream, adaptive.state_dict())
    expected, ours = adaptive(*inputs()), two_stream(*inputs())
    torch.testing.assert_close(ours.boxes, expected.boxes, atol=1e-5, rtol=1e-5)
    assert not ours.extras["interacts"].any()


def test_a_fresh_network_attends_by_likeness_and_knows_places_apart():
    backbone = tiny().backbone
    places = torch.cat([backbone.pos_embed_z[0], backbone.pos_embed_x[0]]).detach()
    likeness = torch.nn.functional.normalize(places, dim=1) @ torch.nn.functional.normalize(places, dim=1).T
    assert (likeness - torch.eye(len(places))).max() < 0.999
    for block in backbone.blocks:
        query, key, value = block.attn.qkv.weight.chunk(3)
        assert torch.equal(query, key)
        assert not torch.equal(query, value)
