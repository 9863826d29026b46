"""The ResNet's stages: torchvision's network with one convolution changed, and what is taken of its weights."""

import pytest
import torch
import torchvision

from lib.models.backbones.resnet import ResNet, ResNetConfig

TINY = ResNetConfig(width=4, blocks=(1, 2, 2))


def images(side: int = 48) -> torch.Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def theirs() -> torchvision.models.ResNet:
    """torchvision's ResNet-50 with random weights, changed as published."""
    torch.manual_seed(0)
    network = torchvision.models.resnet50()
    first = network.layer3[0]
    first.conv2.stride, first.conv2.dilation, first.conv2.padding = (1, 1), (2, 2), (2, 2)
    first.downsample[0].stride = (1, 1)
    return network


@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()
def test_it_is_torchvisions_network_with_one_dilated_convolution_at_stride_8(theirs, training):
    theirs.train(training)
    ours = ResNet(ResNetConfig()).train(training)
    ours.load_state_dict(ours.from_image_weights(theirs.state_dict()))
    expected = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(images()))))
    for stage in (theirs.layer1, theirs.layer2, theirs.layer3):
        expected = stage(expected)
    features = ours(images())
    assert features.shape == (2, 1024, 6, 6)
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)


def test_image_weights_are_taken_but_for_the_fourth_stage_and_the_classifier(theirs):
    weights, network = theirs.state_dict(), ResNet(ResNetConfig())
    taken = network.from_image_weights(weights)
    assert taken.keys() == network.state_dict().keys()
    assert {name.partition(".")[0] for name in weights.keys() - taken.keys()} == {"layer4", "fc"}
    assert all(value is weights[name] for name, value in taken.items())


def test_a_narrow_one_keeps_the_strides():
    network = ResNet(TINY).eval()
    assert network(images()).shape == (2, 64, 6, 6)
    assert network.width == 64
    assert [len(stage) for stage in (network.layer1, network.layer2, network.layer3)] == [1, 2, 2]
