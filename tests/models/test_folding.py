"""Folded networks are the same function, and only what may be folded is."""

import pytest
import torch
from families import HEADS, fresh, inputs, tiny
from torch import nn

from lib.models.backbones.timm_features import TimmFeatures
from lib.models.layers.folding import fold_norms


def norms(network: nn.Module) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)]


def unlike_fresh(network: nn.Module) -> nn.Module:
    """With statistics, factors and shifts that matter."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.8, 1.2)
    return network.eval()


@pytest.mark.parametrize("head", HEADS)
@torch.no_grad()
def test_a_folded_tracker_is_the_same_function(head):
    experiment = tiny("lite", head)
    model = unlike_fresh(fresh(experiment))
    expected = model(*inputs(experiment, 2))
    model.fold()
    assert norms(model) == ["template_norm", "search_norm"], "they share the convolution before them"
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert all(module.weight.is_contiguous(memory_format=torch.channels_last) for module in convolutions)
    for _ in range(2):
        found = model(*inputs(experiment, 2))
        for ours, theirs in zip(found[:-1], expected[:-1], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
        model.fold()  # again changes nothing


@pytest.mark.parametrize("name", ["test_efficientnet", "mobilenetv3_small_050", "resnet18", "test_resnet"])
@torch.no_grad()
def test_networks_of_timms_are_the_same_function(name):
    torch.manual_seed(0)
    network = unlike_fresh(TimmFeatures(name, 16))
    images = torch.randn(2, 3, 64, 64)
    expected, before = network(images), len(norms(network))
    fold_norms(network, images[:1])
    assert len(norms(network)) < before
    torch.testing.assert_close(network(images), expected, rtol=1e-3, atol=1e-4)


class Odd(nn.Module):
    """Convolutions whose norms may not be folded: ``shared`` is before two norms, one norm is after two convolutions,
    and one is before its convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.first, self.second = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.one, self.other, self.common = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.before, self.after = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        both = self.first(self.shared(images)) + self.second(self.shared(images + 1))
        either = self.common(self.one(images)) + self.common(self.other(images))
        return self.after(self.before(both + either))


@torch.no_grad()
def test_what_is_not_one_convolution_and_its_norm_stays():
    torch.manual_seed(0)
    network, images = unlike_fresh(Odd()), torch.randn(2, 3, 4, 4)
    expected = network(images)
    fold_norms(network, images)
    assert norms(network) == ["first", "second", "common", "before"]
    assert torch.equal(network(images), expected)
