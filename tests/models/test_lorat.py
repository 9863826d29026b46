"""LoRAT against the recorded outputs of the public code: wrapped, merged, over a DINOv2 file, with SwiGLU."""

import copy
import re

import numpy as np
import pytest
import torch
from lorat_weights import SIZES, built, filled
from reference_weights import REFERENCE, image_tensor, key_table
from torch import Tensor

from lib.models.backbones.dinov2 import DINOv2Config
from lib.models.heads.distance import DistanceObjective, DistanceObjectiveConfig
from lib.models.lorat import FAMILY, LoRAT, LoRATConfig
from lib.models.weights.initial import load_initial
from lib.models.weights.released import as_ours, load_released

RECORDED = np.load(REFERENCE / "lorat_b224.golden.npz", allow_pickle=False)
BOUNDS = {"score_map": 5e-5, "boxes": 1.5e-5}


def inputs(size: str = "224", batch: int = 2) -> tuple[Tensor, Tensor]:
    mark = "" if size == "224" else size
    return tuple(
        image_tensor((batch, 3, side, side), f"{name}{mark}", 0)
        for name, side in zip(("template", "search"), SIZES[size], strict=True)
    )


def box_of(mask: np.ndarray) -> Tensor:
    """A box that touches exactly the cells of each mask ``[B, n, n]``, a rectangle of ones."""
    boxes = []
    for cells in mask:
        rows, columns = cells.any(axis=1).nonzero()[0], cells.any(axis=0).nonzero()[0]
        assert cells.sum() == len(rows) * len(columns)
        corner = np.array([columns[0] + 0.25, rows[0] + 0.25])
        extent = np.array([len(columns) - 0.5, len(rows) - 0.5])
        boxes.append(np.concatenate([corner, extent]) / len(cells))
    return torch.tensor(np.stack(boxes), dtype=torch.float32)


def differences(model: LoRAT, case: str, mask: str, size: str = "224") -> dict[str, float]:
    """Largest distance of the network's outputs from the recorded ones of a case, by name."""
    template, search = inputs(size, 1 if size == "378" else 2)
    seen: list[Tensor] = []
    hook = model.backbone.register_forward_hook(lambda module, arguments, output: seen.append(output))
    with torch.inference_mode():
        prediction = model(template, box_of(RECORDED[mask]), search)
    hook.remove()
    grid = model.search_grid
    ours = {
        "score_map": prediction.logits.unflatten(1, (grid, grid)),
        "boxes": prediction.corners.unflatten(1, (grid, grid)),
    }
    if f"{case}.feat_slice" in RECORDED:
        ours["feat_slice"] = seen[0][:, ::16, :16]
    return {
        name: float(np.abs(RECORDED[f"{case}.{name}"].astype(np.float64) - value.double().numpy()).max())
        for name, value in ours.items()
    }


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return filled("lorat_b224")


@pytest.fixture(scope="module")
def model(weights) -> LoRAT:
    """The whole network, which tests leave as it is."""
    model = built()
    load_released(model, weights)
    return model


@pytest.fixture(scope="module")
def pretrained(weights, tmp_path_factory) -> tuple:
    """The folder of a DINOv2 file, as its authors wrote it, and an adapter of the trained tensors alone."""
    folder = tmp_path_factory.mktemp("pretrained")
    torch.save(filled("dinov2_vitb14"), folder / "dinov2_vitb14.pth")
    trained = {name for name, entry in key_table("lorat_b224").items() if entry["trained"]}
    return folder, {name: value for name, value in weights.items() if name in trained}


def over_dinov2(folder, adapter: dict[str, Tensor], size: str) -> LoRAT:
    model = built(size)
    load_initial(model, "dinov2_vitb14.pth", folder)
    inside = {name: value for name, value in model.state_dict().items() if name.startswith("backbone.")}
    beneath = {name: value for name, value in inside.items() if ".lora." not in name}
    load_released(model, {**beneath, **as_ours(FAMILY, adapter)})
    return model


@pytest.mark.slow
def test_the_wrapped_network_and_the_merged_one_equal_the_recorded(model):
    model = copy.deepcopy(model)
    for case, change in (("full", lambda: None), ("full.merged", model.fold)):
        change()
        found = differences(model, case, "z_feat_mask")
        for name, bound in {**BOUNDS, "feat_slice": 5e-5}.items():
            assert found.get(name, 0) <= bound, (case, name, found)
    qkv, fc2 = (model.backbone.blocks[3].get_submodule(name).weight for name in ("attn.qkv", "mlp.fc2"))
    np.testing.assert_allclose(qkv[::96, :8].detach(), RECORDED["full.merged.block3_qkv_weight_slice"], atol=1e-6)
    np.testing.assert_allclose(fc2[::32, :8].detach(), RECORDED["full.merged.block3_fc2_weight_slice"], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "size", "mask", "bound"), [
    ("pair", "224", "z_feat_mask", 2e-6),
    ("b378", "378", "b378.z_feat_mask", 1e-5),
])  # fmt: skip
def test_an_adapter_over_a_dinov2_file_equals_the_recorded(case, size, mask, bound, pretrained):
    model = over_dinov2(*pretrained, size)
    table = model.backbone.pos_embed[0, :: 1 if size == "224" else 3, :16].detach().numpy()
    assert np.abs(table - RECORDED[f"{case}.pos_embed_slice"]).max() <= bound
    found = differences(model, case, mask, size)
    assert all(found[name] <= limit for name, limit in {**BOUNDS, "feat_slice": 5e-5}.items()), found


@pytest.mark.slow
def test_swiglu_equals_the_recorded():
    """The first two blocks of ViT-g."""
    config = LoRATConfig(
        name="lorat",
        pretrained="none",
        backbone=DINOv2Config(width=1536, depth=2, heads=24, ffn="swiglu"),
        head={"kind": "distance", "channels": 1536},
    )
    model = LoRAT(config, *SIZES["224"]).eval()
    load_released(model, filled("lorat_g224", without=r"blocks\.(?![01]\.)"))
    found = differences(model, "g2", "z_feat_mask")
    assert all(found[name] <= limit for name, limit in {**BOUNDS, "feat_slice": 1e-4}.items()), found


@pytest.mark.slow
def test_gradients_of_all_trained_parameters_equal_the_recorded(model):
    """And nothing else gets one, with what the family freezes frozen."""
    recorded = np.load(REFERENCE / "lorat_loss.golden.npz", allow_pickle=False)
    model = copy.deepcopy(model)
    frozen = FAMILY.frozen(LoRATConfig(name="lorat", pretrained="none"))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not any(re.match(pattern, name) for pattern in frozen))
    template, search = inputs()
    prediction = model(template, box_of(RECORDED["z_feat_mask"]), search)
    pixels = torch.from_numpy(recorded["net.target_pixels"])
    boxes = torch.cat([pixels[:, :2], pixels[:, 2:] - pixels[:, :2]], dim=1).div(224).float()
    DistanceObjective(DistanceObjectiveConfig())(prediction, boxes).total.backward()
    gradients = {name: p.grad.flatten() for name, p in model.named_parameters() if p.grad is not None}
    assert len(gradients) == len(recorded["net.grad_names"]) == 157
    for number, published in enumerate(recorded["net.grad_names"]):
        [ours] = as_ours(FAMILY, {str(published): torch.empty(0)})
        gradient, length = gradients[ours], recorded["net.grad_l2"][number]
        np.testing.assert_allclose(gradient.double().norm(), length, rtol=2e-5, err_msg=ours)
        four = gradient[torch.linspace(0, len(gradient) - 1, 4).long()]
        np.testing.assert_allclose(four, recorded["net.grad_four"][number], atol=2e-5 * length, rtol=0, err_msg=ours)
