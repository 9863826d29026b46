"""The first three stages of a ResNet at stride 8, TransT's backbone, under torchvision's names."""

from typing import Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from lib.models.base import Backbone, BackboneConfig


class ResNetConfig(BackboneConfig):
    """Sizes of the network; ResNet-50 by default. ``width``: channels of the stem; the stages have 4, 8 and 16 times as
    many. ``blocks``: bottleneck blocks in each stage."""

    kind: Literal["resnet"] = "resnet"
    width: PositiveInt = 64
    blocks: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(default=(3, 4, 6))

    @property
    def stride(self) -> int:
        """Stride of the grid: 4 after the stem, 8 after the second stage; the third keeps it."""
        return 8

    def build(self, template_size: int, search_size: int) -> "ResNet":
        return ResNet(self)


class ResNet(Backbone):
    """Stem and three stages of torchvision's bottleneck blocks, with the stride on the 3x3 convolution.

    The third stage keeps the resolution of the second. Only its first block's 3x3 convolution is dilated, by 2, as in
    the published code (ltr/models/backbone/resnet.py). The paper dilates the whole stage, and torchvision's
    ``replace_stride_with_dilation`` would dilate all blocks but the first. BatchNorm is trained, not frozen. Fresh
    weights are torchvision's.
    """

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        width, (first, second, third) = config.width, config.blocks
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(width, width, first, stride=1, dilation=1)
        self.layer2 = _stage(4 * width, 2 * width, second, stride=2, dilation=1)
        self.layer3 = _stage(8 * width, 4 * width, third, stride=1, dilation=2)
        self.width = 16 * width
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """``[B, 3, H, W]`` -> features ``[B, 16 * width, H / 8, W / 8]``."""
        features = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        return self.layer3(self.layer2(self.layer1(features)))


def _stage(inputs: int, width: int, blocks: int, stride: int, dilation: int) -> nn.Sequential:
    """Blocks of ``width`` inner and 4 * ``width`` output channels; stride and dilation are those of the first."""
    outputs = width * Bottleneck.expansion
    shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    first = Bottleneck(inputs, width, stride, shortcut, dilation=dilation)
    return nn.Sequential(first, *(Bottleneck(outputs, width) for _ in range(blocks - 1)))
