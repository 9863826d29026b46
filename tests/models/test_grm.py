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
VIT_LARGE = ViTConfig(width=1024, depth=24, heads=16)


def tiny(**division) -> GRM:
    torch.manual_seed(0)
    config = GRMConfig(name="grm", pretrained="none", division=DivisionConfig(hidden=16, **division), **TINY)
    return GRM(config, template_size=32, search_size=64)


def inputs(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    template, search = (torch.randn(batch, 3, size, size, generator=generator) for size in (32, 64))
    return template, torch.tensor([[0.25, 0.25, 0.5, 0.5]]).expand(batch, 4), search


def recorded(name: str, config: GRMConfig, search_size: int, case: str, tolerance: float) -> None:
    """Compare one recorded case; ``tolerance`` scales the bounds stated for ViT-B."""
    golden = np.load(REFERENCE / f"{name}.golden.npz")
    seed, boxes = int(golden["seed"]), torch.from_numpy(golden["template_box"])
    model = GRM(config, 128, search_size).eval()
    load_released(model, filled_state_dict(name, seed))
    with torch.inference_mode():
        prediction = model(
            image_tensor((len(boxes), 3, 128, 128), "template", seed),
            boxes,
            image_tensor((len(boxes), 3, search_size, search_size), "search", seed),
        )

    def compare(key: str, ours: torch.Tensor, bound: float) -> None:
        difference = np.abs(golden[f"{key}_{case}"].astype(np.float64) - ours.double().numpy()).max()
        assert difference <= bound * tolerance, f"{key}_{case}: {difference:.2e} > {bound * tolerance:.0e}"

    decisions = prediction.extras["interacts"].transpose(0, 1)
    if f"logp_{case}" in golden:
        compare("logp", prediction.extras["division_log_probs"].transpose(0, 1), 3e-5)
        compare("size_map", prediction.size_map, 5e-6)
        compare("offset_map", prediction.offset_map, 2e-5)
        log_probs = golden[f"logp_{case}"].astype(np.float64)
        threshold = config.division.threshold or 0.5
        decided = np.abs(np.exp(log_probs[..., 0]) - threshold) > 1e-4
        assert decided.mean() > 0.99
        assert np.array_equal(decisions.numpy()[decided], golden[f"decision_{case}"][decided])
    else:
        assert float(golden[f"margin_{case}"]) > 1e-6
        assert np.array_equal(decisions.numpy(), golden[f"decision_{case}"])
    compare("score_map", prediction.score_map, 5e-6)
    best = prediction.scores.argmax(dim=1)
    chosen = prediction.boxes[torch.arange(len(best)), best]
    if f"pred_boxes_{case}" in golden:
        compare("pred_boxes", chosen[:, None], 5e-6)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["0", "0.4", "allavg", "roimax", "roiavg"])
def test_vit_base_equals_the_recorded_outputs(case):
    threshold = {"threshold": 0.4} if case == "0.4" else {}
    target = {} if case[0] == "0" else {"target": case}
    division = DivisionConfig(softmax="published", **threshold, **target)
    recorded("grm_vitb_256", GRMConfig(name="grm", pretrained="none", division=division), 256, case, tolerance=1)


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [0.0, 0.4])
def test_vit_large_equals_the_recorded_outputs(threshold):
    division = DivisionConfig(softmax="published", threshold=threshold)
    config = GRMConfig(name="grm", pretrained="none", backbone=VIT_LARGE, division=division)
    recorded("grm_vitl_320", config, 320, "0.4" if threshold else "0", tolerance=3)


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
