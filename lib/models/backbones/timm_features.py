"""An image network of timm's, cut at a stated stride, under timm's names."""

from collections.abc import Mapping
from functools import cache
from typing import Literal, Self

import timm
import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn

from lib.config.schema import suggest
from lib.models.base import IMAGE_MEAN, IMAGE_STD, Backbone, BackboneConfig

# Side in cells of the crop that a network is tried with; timm states for no network whether it takes any size.
TRIED_CELLS = 6


class TimmConfig(BackboneConfig):
    """``name``: a network of ``timm.list_models()`` that takes images of any size; ``stride``: it is cut after its last
    stage of this stride."""

    kind: Literal["timm"] = "timm"
    name: str
    stride: PositiveInt = 16

    @model_validator(mode="after")
    def _the_network_has_the_stride(self) -> Self:
        _check(self.name, self.stride)
        return self

    def build(self, template_size: int, search_size: int) -> "TimmFeatures":
        return TimmFeatures(self.name, self.stride)


class TimmFeatures(Backbone):
    """Stem and stages of a timm network up to the last stage of a stride; fresh weights are timm's.

    Images come normalized by ImageNet's mean and deviation. Where timm states others for the network's weights, they
    are normalized again: ``x * std / own_std + (mean - own_mean) / own_std``.
    """

    def __init__(self, name: str, stride: int) -> None:
        super().__init__()
        self.network = timm.create_model(name, pretrained=False)
        self.stage = max(index for index, reduction in enumerate(_strides(self.network)) if reduction == stride)
        self.width = self.network.feature_info[self.stage]["num_chs"]
        self.network.prune_intermediate_layers([self.stage], prune_norm=True, prune_head=True)
        own_mean, own_std = (tuple(self.network.pretrained_cfg[key]) for key in ("mean", "std"))
        self.normalizes = (own_mean, own_std) != (IMAGE_MEAN, IMAGE_STD)
        channels = [*zip(IMAGE_MEAN, IMAGE_STD, own_mean, own_std, strict=True)]
        scale = torch.tensor([std / own for _, std, _, own in channels])
        shift = torch.tensor([(mean - own) / own_std for mean, _, own, own_std in channels])
        self.register_buffer("scale", scale[:, None, None], persistent=False)
        self.register_buffer("shift", shift[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """``[B, 3, H, W]`` -> features ``[B, width, H / stride, W / stride]``."""
        if self.normalizes:
            images = images * self.scale + self.shift
        [features] = self.network.forward_intermediates(
            images, indices=[self.stage], stop_early=True, output_fmt="NCHW", intermediates_only=True
        )
        return features

    def from_image_weights(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The part of the whole network's weights, in timm's names, that this backbone takes: all up to the cut."""
        return super().from_image_weights({f"network.{name}": value for name, value in weights.items()})


def _strides(network: nn.Module) -> list[int]:
    """The stride of each stage of a timm network; none if it cannot be cut."""
    if not hasattr(network, "prune_intermediate_layers"):
        return []
    return [stage["reduction"] for stage in network.feature_info]


@cache
def _check(name: str, stride: int) -> None:
    """Raises ``ValueError`` for a network's name or stride that cannot be, with the remedy."""
    if not timm.is_model(name):
        raise ValueError(f"name: timm has no network {name!r}; {suggest(name, timm.list_models())}")
    with torch.device("meta"):  # names and shapes, without memory or numbers
        strides = dict.fromkeys(_strides(timm.create_model(name, pretrained=False)))
        if stride not in strides:
            has = f"those of its stages are {', '.join(map(str, strides))}" if strides else "it cannot be cut"
            raise ValueError(f"stride: {name} has no stage of stride {stride}; {has}")
        side = TRIED_CELLS * stride
        try:
            features = TimmFeatures(name, stride).eval()(torch.empty(1, 3, side, side))
        except Exception as error:  # networks of timm raise different errors for a size that they do not take
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ValueError(
                f"name: {name} does not take crops of any size ({reason}); choose a convolutional network"
            ) from error
    assert features.shape[2:] == (TRIED_CELLS, TRIED_CELLS), f"{name}: {tuple(features.shape)} at stride {stride}"
