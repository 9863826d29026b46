"""TransT (Transformer Tracking, CVPR 2021): one ResNet for template and search region, a fusion network of attention,
and a head that predicts from every cell of the search grid.

The fusion network has ego-context and cross-feature augment layers; its paper compares them with fewer of their parts,
depth-wise correlation, and the original Transformer. Positions are added to queries and keys in every attention, not
to values. ``need_weights=False`` keeps PyTorch from forming the attention weights; ``dropout`` on them happens inside
``scaled_dot_product_attention``.
"""

from typing import Annotated, Any, Literal, Self

import torch.nn.functional as F
from pydantic import Discriminator, Field, PositiveInt, Tag, model_validator
from torch import Tensor, nn

from lib.config.schema import Section
from lib.models.backbones.resnet import ResNetConfig
from lib.models.backbones.timm_features import TimmConfig
from lib.models.base import Family, FamilyConfig, TrackingModel
from lib.models.heads.registry import HeadConfig, HeadPrediction, build_head
from lib.models.layers.detr import DecoderLayer, EncoderLayer, initialize_matrices, sine_positions


class FusionConfig(Section):
    """The fusion network; TransT's by default.

    * ``kind``: "feature", ``layers`` layers of ego-context (ECA) and cross-feature augment (CFA) on template and search
      features, then one CFA of the search features; "transformer" (the paper's TransT(ori)), ``layers`` encoder layers
      on the template and as many decoder layers on the search features.
    * ``width``, ``heads``, ``hidden`` (width of the hidden layers) and ``dropout``, also of attention weights.
    * ``ego_context``, ``cross_feature`` (kind "feature"): without the first there is no ECA. Without the second each
      CFA has its perceptron but no attention, and depth-wise correlation replaces the last one (Table 3).
    """

    kind: Literal["feature", "transformer"] = "feature"
    layers: PositiveInt = 4
    width: int = Field(default=256, ge=4, multiple_of=4)
    heads: PositiveInt = 8
    hidden: PositiveInt = 2048
    dropout: float = Field(default=0.1, ge=0, lt=1)
    ego_context: bool = True
    cross_feature: bool = True

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.kind == "transformer" and not (self.ego_context and self.cross_feature):
            raise ValueError("ego_context and cross_feature are parts of kind feature; leave them true for transformer")
        return self


def kind(value: Any) -> str:
    """The ``kind`` of a backbone. Recipes and checkpoints from before there was a choice have none: a ResNet."""
    return str(value.get("kind", "resnet")) if isinstance(value, dict) else getattr(value, "kind", "resnet")


TransTBackbone = Annotated[
    Annotated[ResNetConfig, Tag("resnet")] | Annotated[TimmConfig, Tag("timm")], Discriminator(kind)
]


class TransTConfig(FamilyConfig):
    """The network."""

    name: Literal["transt"]
    backbone: TransTBackbone = ResNetConfig()
    fusion: FusionConfig = FusionConfig()
    head: HeadConfig = HeadConfig(kind="mlp")


class EgoContext(nn.Module):
    """Self-attention, added, then normed: the paper's ECA module."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(config.width, config.heads, config.dropout, batch_first=True)
        self.norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """``tokens`` ``[B, N, C]`` -> tokens; ``positions`` ``[1, N, C]``."""
        keys = tokens + positions
        attended, _ = self.attention(keys, keys, tokens, need_weights=False)
        return self.norm(tokens + self.dropout(attended))


class CrossFeature(nn.Module):
    """Attention to the other image's tokens and a perceptron with ReLU, each added, then normed: the paper's CFA.
    Without ``config.cross_feature`` it has only the perceptron and its norm."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.attention, self.norm1 = None, None
        if config.cross_feature:
            self.attention = nn.MultiheadAttention(config.width, config.heads, config.dropout, batch_first=True)
            self.norm1 = nn.LayerNorm(config.width)
        self.linear1 = nn.Linear(config.width, config.hidden)
        self.linear2 = nn.Linear(config.hidden, config.width)
        self.norm2 = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor, positions: Tensor, others: Tensor, other_positions: Tensor) -> Tensor:
        """``tokens`` ``[B, N, C]``, which attend to ``others`` ``[B, M, C]`` -> tokens; positions ``[1, N, C]`` and
        ``[1, M, C]``."""
        if self.attention is not None:
            queries, keys = tokens + positions, others + other_positions
            attended, _ = self.attention(queries, keys, others, need_weights=False)
            tokens = self.norm1(tokens + self.dropout(attended))
        perceived = self.linear2(self.dropout(self.linear1(tokens).relu()))
        return self.norm2(tokens + self.dropout(perceived))


class FeatureFusionLayer(nn.Module):
    """ECA, then CFA, of the template's and of the search region's tokens, with weights of their own.

    Both CFA start from the ECA's outputs; neither uses the output of the other.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.template_eca = EgoContext(config) if config.ego_context else None
        self.search_eca = EgoContext(config) if config.ego_context else None
        self.template_cfa, self.search_cfa = CrossFeature(config), CrossFeature(config)

    def forward(self, template: Tensor, search: Tensor, positions: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Tokens ``[B, Nz, C]`` and ``[B, Nx, C]`` -> tokens; ``positions`` of both."""
        z, x = positions
        if self.template_eca is not None:
            template, search = self.template_eca(template, z), self.search_eca(search, x)
        return self.template_cfa(template, z, search, x), self.search_cfa(search, x, template, z)


class _Fusion(nn.Module):
    """Sine positions of the two grids, without parameters."""

    def __init__(self, width: int, template_grid: int, search_grid: int) -> None:
        super().__init__()
        self.template_grid, self.search_grid = template_grid, search_grid
        self.register_buffer("template_positions", sine_positions(template_grid, width), persistent=False)
        self.register_buffer("search_positions", sine_positions(search_grid, width), persistent=False)


class FeatureFusion(_Fusion):
    """TransT's feature fusion network, complete or without one or both of its modules.

    The template's tokens depend on the search region from the first layer's CFA on, so the state is the tokens before.
    Source: ltr/models/neck/featurefusion_network.py.
    """

    def __init__(self, config: FusionConfig, template_grid: int, search_grid: int) -> None:
        super().__init__(config.width, template_grid, search_grid)
        self.layers = nn.ModuleList(FeatureFusionLayer(config) for _ in range(config.layers))
        self.last = CrossFeature(config) if config.cross_feature else None
        self.norm = nn.LayerNorm(config.width)
        initialize_matrices(self)

    def remember(self, template: Tensor) -> Tensor:
        """The state from a template's tokens ``[B, Nz, C]``, computed once a video."""
        return template

    def forward(self, template: Tensor, search: Tensor) -> Tensor:
        """The state and the search region's tokens ``[B, Nx, C]`` -> fused tokens ``[B, Nx, C]``."""
        z, x = self.template_positions, self.search_positions
        for layer in self.layers:
            template, search = layer(template, search, (z, x))
        if self.last is not None:
            return self.norm(self.last(search, x, template, z))
        return self.norm(correlate(search, template, self.search_grid, self.template_grid))


class TransformerFusion(_Fusion):
    """The original Transformer for fusion: the template into the encoder, the search region into the decoder.

    Encoder and decoder layers are DETR's, with sine positions, and the decoder's output is normed, as there. The
    template never sees the search region, so the state is the encoder's output.
    """

    def __init__(self, config: FusionConfig, template_grid: int, search_grid: int) -> None:
        super().__init__(config.width, template_grid, search_grid)
        sizes = config.width, config.heads, config.hidden, config.dropout
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(config.layers))
        self.decoder = nn.ModuleList(DecoderLayer(*sizes) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        initialize_matrices(self)

    def remember(self, template: Tensor) -> Tensor:
        """The state from a template's tokens ``[B, Nz, C]``, computed once a video."""
        for layer in self.encoder:
            template = layer(template, self.template_positions)
        return template

    def forward(self, memory: Tensor, search: Tensor) -> Tensor:
        """The state and the search region's tokens ``[B, Nx, C]`` -> fused tokens ``[B, Nx, C]``."""
        for layer in self.decoder:
            search = layer(search, self.search_positions, memory, self.template_positions)
        return self.norm(search)


FUSIONS = {"feature": FeatureFusion, "transformer": TransformerFusion}  # by ``FusionConfig.kind``


def correlate(search: Tensor, template: Tensor, search_grid: int, template_grid: int) -> Tensor:
    """Depth-wise correlation: each channel of the search tokens ``[B, Nx, C]`` with the same channel of the template's
    ``[B, Nz, C]``; tokens ``[B, Nx, C]``, divided by the number of template cells.

    The search grid is padded with zeros, so that every cell has a vector for the heads. On each search cell lies the
    template's cell of index ``template_grid // 2``, whose upper left corner is the middle of the template's crop:
    the objective counts search cells by their upper left corners.
    """
    maps, kernels = (
        tokens.transpose(1, 2).reshape(1, -1, side, side)
        for tokens, side in ((search, search_grid), (template, template_grid))
    )
    before, after = template_grid // 2, (template_grid - 1) // 2
    padded = F.pad(maps, (before, after, before, after))
    found = F.conv2d(padded, kernels.transpose(0, 1), groups=kernels.shape[1]) / template_grid**2
    return found.reshape(search.shape[0], -1, search_grid**2).transpose(1, 2)


def begin_by_likeness(module: nn.Module) -> None:
    """Sets an attention's keys equal to its queries; for ``nn.Module.apply``.

    In a network without pretrained weights tokens then attend to similar tokens from the first step, and a small
    network learns to match in hundreds of steps (as ``lib.models.backbones.vit.initialize``).
    """
    if isinstance(module, nn.MultiheadAttention):
        query, key, _ = module.in_proj_weight.data.chunk(3)
        key.copy_(query)


class TransT(TrackingModel):
    """Features of both crops from the same backbone and projection, fused, then a head on the search tokens.

    The state of a target is one tensor, the fusion network's state ``[B, Nz, C]``: the backbone sees the template once
    a video. The box of the target in the template is not used. ``extras`` is empty.

    The template passes the backbone before the search region; in the published code it comes second. This changes only
    the order in which BatchNorm's running statistics take the two crops of a group.
    """

    def __init__(self, config: TransTConfig, template_size: int, search_size: int) -> None:
        super().__init__(config, template_size, search_size)
        self.backbone = config.backbone.build(template_size, search_size)
        self.input_proj = nn.Conv2d(self.backbone.width, config.fusion.width, 1)
        self.fusion = FUSIONS[config.fusion.kind](config.fusion, self.template_grid, self.search_grid)
        self.box_head = build_head(config.head, config.fusion.width, self.search_grid)
        if config.pretrained == "none":
            self.fusion.apply(begin_by_likeness)

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor]:
        return (self.fusion.remember(self._embed(template)),)

    def locate(self, state: tuple[Tensor], search: Tensor, epoch: int | None = None) -> HeadPrediction:
        fused = self.fusion(*state, self._embed(search))
        return self.run_head(fused)

    def _embed(self, images: Tensor) -> Tensor:
        """``[B, 3, H, W]`` -> tokens ``[B, N, C]``, row-major, without positions."""
        return self.input_proj(self.backbone(images)).flatten(2).transpose(1, 2)


_RELEASED = {
    r"^backbone\.0\.body\.": "backbone.",
    r"^(class|bbox)_embed\.": r"box_head.\1_embed.",
    r"^featurefusion_network\.decoder\.layers\.0\.multihead_attn\.": "fusion.last.attention.",
    r"^featurefusion_network\.decoder\.layers\.0\.": "fusion.last.",
    r"^featurefusion_network\.(encoder|decoder)\.": "fusion.",
    # Of the parts of a layer, number 1 is the template's, 2 the search region's.
    r"\.self_attn([12])\.": r".eca\1.attention.",
    r"\.norm([12])1\.": r".eca\1.norm.",
    r"\.multihead_attn([12])\.": r".cfa\1.attention.",
    r"\.norm([12])2\.": r".cfa\1.norm1.",
    r"\.linear([12])([12])\.": r".cfa\1.linear\2.",
    r"\.norm([12])3\.": r".cfa\1.norm2.",
    r"\.(eca|cfa)1\.": r".template_\1.",
    r"\.(eca|cfa)2\.": r".search_\1.",
}


def attentions_of_fusion(model: TransT) -> dict[str, nn.Module]:
    """The template's attention to the search region in each layer of the fusion network, counted from 1."""
    if not isinstance(model.fusion, FeatureFusion) or model.fusion.last is None:
        return {}
    layers = enumerate(model.fusion.layers, start=1)
    return {f"layer {number}": layer.template_cfa.attention for number, layer in layers}


FAMILY = Family(
    config=TransTConfig,
    network=TransT,
    released=_RELEASED,
    # The published optimizer knows the backbone and the rest; here the head has a rate of its own.
    groups={"backbone": r"backbone\.", "fusion": r"(input_proj|fusion)\.", "head": ""},
    attention=attentions_of_fusion,
)
