"""LoRAT's files: released adapters over a DINOv2 file, full and merged ones, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from families import fresh, inputs, tiny
from released_files import published_weights
from safetensors.torch import save_file
from torch import Tensor

from lib.config.yaml12 import to_yaml
from lib.experiment.build import TorchForm, experiment_of_checkpoint, trained_model
from lib.experiment.config import ExperimentConfig, to_tree
from lib.models.weights.released import load_released
from lib.programs.conversion import convert_checkpoint
from lib.runtime.checkpoint import CheckpointError, read_checkpoint


@pytest.fixture
def dinov2(tmp_path: Path) -> Path:
    """A DINOv2 of the twin's size as timm has it, with LayerScale that matters."""
    torch.manual_seed(4)
    backbone = tiny("lorat").model.backbone
    network = timm.models.VisionTransformer(
        img_size=4 * backbone.patch, patch_size=backbone.patch, embed_dim=backbone.width, depth=backbone.depth,
        num_heads=backbone.heads, init_values=0.5, num_classes=0,
    )  # fmt: skip
    weights = {name: value + torch.randn_like(value) / 20 for name, value in network.state_dict().items()}
    torch.save(weights, tmp_path / "dinov2.pth")
    return tmp_path / "dinov2.pth"


def twin(pretrained: Path | str, *overrides: str) -> ExperimentConfig:
    return tiny("lorat", None, f"model.pretrained={pretrained}", *overrides)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """What the authors released: the trained tensors under their names, in safetensors."""
    torch.manual_seed(5)
    weights = published_weights(fresh(tiny("lorat")))
    trained = {
        name: value
        for name, value in weights.items()
        if ".lora." in name or name.startswith(("head.", "token_type_embed"))
    }
    save_file(trained, tmp_path / "model.bin")
    return tmp_path / "model.bin"


def answer(model: torch.nn.Module, experiment: ExperimentConfig) -> Tensor:
    with torch.inference_mode():
        prediction = model.eval()(*inputs(experiment, 2))
    return torch.cat([prediction.corners, prediction.logits[:, :, None]], dim=2)


def test_a_released_adapter_lies_over_its_dinov2(dinov2, adapter):
    experiment = twin(dinov2)
    model, report = trained_model(experiment, adapter)
    assert sum(".lora." in name for name in report.taken) == 4 * 6 * 2
    beneath = torch.load(dinov2)
    keys = beneath["blocks.1.attn.qkv.weight"].chunk(3)[1]
    assert torch.equal(model.backbone.blocks[1].attn.qkv.k.linear.weight, keys)
    assert torch.equal(model.backbone.blocks[2].ls2.gamma, beneath["blocks.2.ls2.gamma"])
    own, _ = trained_model(twin(dinov2, "model.lora.alpha=32.0"), adapter)
    assert not torch.allclose(answer(own, experiment), answer(model, experiment)), "alpha is the configuration's"


def test_an_adapter_without_its_dinov2_is_refused(adapter):
    """The published loader leaves random weights beneath it and reports success."""
    with pytest.raises(CheckpointError, match="holds trained tensors alone, and the frozen weights are missing"):
        trained_model(twin("none"), adapter)


def test_merged_and_not_the_network_is_the_same(dinov2, adapter):
    experiment = twin(dinov2)
    model, _ = trained_model(experiment, adapter)
    expected = answer(model, experiment)
    model.fold()
    assert not [name for name in model.state_dict() if ".lora." in name or ".linear." in name]
    torch.testing.assert_close(answer(model, experiment), expected, rtol=1e-4, atol=1e-5)


def test_a_merged_file_is_plain_and_needs_no_other(dinov2, adapter, tmp_path):
    experiment, out = twin(dinov2), tmp_path / "merged.pth"
    plain = tmp_path / "lorat.yaml"
    plain.write_text(to_yaml(to_tree(experiment)))
    convert_checkpoint(adapter, str(plain), out, merge=True)
    dinov2.unlink()
    content = read_checkpoint(out)
    assert "backbone.blocks.0.attn.qkv.weight" in content["model"]
    assert not [name for name in content["model"] if ".lora." in name]
    again = experiment_of_checkpoint(out)
    assert not again.model.lora.enabled
    network = TorchForm(again, out).network()
    crops = [np.zeros((1, side, side, 3), dtype=np.float32) + 90 for side in (64, 128)]
    found = network.find(network.encode(crops[0], np.array([[0.25, 0.25, 0.5, 0.5]])), crops[1])
    assert np.isfinite(found.boxes).all()
    with pytest.raises(CheckpointError, match="--merge: a network of .* has nothing to merge"):
        convert_checkpoint(out, None, tmp_path / "twice.pth", merge=True)


@pytest.mark.parametrize(("name", "value", "said"), [
    ("lora_alpha", torch.tensor(128), "model.lora.alpha=128, not 64.0"),
    ("use_rslora", torch.tensor(True), "model.lora.rslora=True, not False"),
])  # fmt: skip
def test_a_full_file_of_another_scaling_is_refused(name, value, said):
    """The published network takes the number and goes on with its own scaling."""
    model = fresh(tiny("lorat"))
    weights = published_weights(model)
    weights |= {"lora_alpha": torch.tensor(64), "use_rslora": torch.tensor(False)}
    assert {"lora_alpha", "use_rslora"} == set(load_released(model, weights).dropped)
    with pytest.raises(CheckpointError, match=f"it was trained with {said}"):
        load_released(model, {**weights, name: value})
