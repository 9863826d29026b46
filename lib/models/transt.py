"""TransT (Transformer Tracking, CVPR 2021): one ResNet for template and search region, a fusion network of attention,
and a head that asks every cell of the search grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

from lib.models.backbones.resnet import STRIDE, ResNet, ResNetConfig
from lib.models.base import Family, FamilyConfig, HeadPrediction, TrackingModel
from lib.models.heads.config import HeadConfig, build_head
from lib.models.layers.fusion import FusionConfig, begin_by_likeness, build_fusion


class TransTConfig(FamilyConfig):
    """The network."""

    name: Literal["transt"]
    backbone: ResNetConfig = ResNetConfig()
    fusion: FusionConfig = FusionConfig()
    head: HeadConfig = HeadConfig(kind="mlp")

    def cell(self) -> tuple[int, str]:
        """See ``FamilyConfig``."""
        return STRIDE, "the stride of layer3,"


class TransT(TrackingModel):
    """Features of both crops from the same backbone and projection, fused, then a head on the search tokens.

    The state of a target is one tensor, what the fusion network keeps of the template's tokens, ``[B, Nz, C]``: the
    backbone sees the template once a video. The box of the target in the template is not used.

    The template passes the backbone before the search region does; in the published code it comes second. That decides
    nothing but the order in which BatchNorm's running statistics take in the two crops of a group.
    """

    def __init__(self, config: TransTConfig, template_size: int, search_size: int) -> None:
        super().__init__()
        self.search_grid = search_size // STRIDE
        self.backbone = ResNet(config.backbone)
        self.input_proj = nn.Conv2d(self.backbone.channels, config.fusion.width, 1)
        self.fusion = build_fusion(config.fusion, template_size // STRIDE, self.search_grid)
        self.box_head = build_head(config.head, config.fusion.width, self.search_grid)
        if config.pretrained == "none":
            self.fusion.apply(begin_by_likeness)

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor]:
        """See ``TrackingModel``."""
        return (self.fusion.remember(self._embed(template)),)

    def locate(self, state: tuple[Tensor], search: Tensor, epoch: int | None = None) -> HeadPrediction:
        """See ``TrackingModel``. ``extras`` is empty."""
        fused = self.fusion(*state, self._embed(search))
        return self.box_head(fused.transpose(1, 2).unflatten(2, (self.search_grid, self.search_grid)))

    def _embed(self, images: Tensor) -> Tensor:
        """``[B, 3, H, W]`` -> tokens ``[B, H / 8 * W / 8, C]``, row-major, without positions."""
        return self.input_proj(self.backbone(images)).flatten(2).transpose(1, 2)


# Where the parts of the published fusion layers stand here; each layer has them for side 1, template, and 2, search.
_IN_LAYER = {
    theirs.format(number): f"{side}_{ours}"
    for number, side in ((1, "template"), (2, "search"))
    for theirs, ours in {
        "self_attn{}": "eca.attention",
        "norm{}1": "eca.norm",
        "multihead_attn{}": "cfa.attention",
        "norm{}2": "cfa.norm1",
        "linear{}1": "cfa.linear1",
        "linear{}2": "cfa.linear2",
        "norm{}3": "cfa.norm2",
    }.items()
}
_BEGINNINGS = {
    "backbone.0.body.": "backbone.",
    "class_embed.": "box_head.class_embed.",
    "bbox_embed.": "box_head.bbox_embed.",
    "featurefusion_network.encoder.layers.": "fusion.layers.",
    "featurefusion_network.decoder.layers.0.multihead_attn.": "fusion.last.attention.",
    "featurefusion_network.decoder.layers.0.": "fusion.last.",
    "featurefusion_network.decoder.norm.": "fusion.norm.",
}


def transt_from_released(weights: Mapping[str, Tensor], owned: frozenset[str]) -> dict[str, Tensor]:
    """TransT's released weights under our names; all of them are used, ``num_batches_tracked`` included."""
    return {_renamed(name): value for name, value in weights.items()}


def _renamed(name: str) -> str:
    for theirs, ours in _BEGINNINGS.items():
        if name.startswith(theirs):
            name = ours + name.removeprefix(theirs)
            break
    if name.startswith("fusion.layers."):
        fusion, layers, number, part, *rest = name.split(".")
        name = ".".join([fusion, layers, number, _IN_LAYER.get(part, part), *rest])
    return name


FAMILY = Family(
    config=TransTConfig,
    build=TransT,
    from_released=transt_from_released,
    # The published optimizer knows the backbone and the rest; here the head has a rate of its own.
    groups={"backbone": r"backbone\.", "fusion": r"(input_proj|fusion)\.", "head": ""},
)
