"""STARK-SV, the baseline of SimTrack's paper: STARK-S (ICCV 2021) with a vision transformer instead of its ResNet.

Template and search region pass the backbone separately and interact in an encoder; one query of a decoder selects the
target.
"""

from collections.abc import Mapping
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from lib.config.schema import Section
from lib.models.backbones.image import ImageViT
from lib.models.backbones.vit import ViTConfig
from lib.models.base import Family, FamilyConfig, TokenMap, TrackingModel
from lib.models.heads.registry import HeadConfig, HeadPrediction, build_head
from lib.models.layers.detr import Decoder, EncoderLayer, initialize_matrices, sine_positions
from lib.models.weights.renaming import clip_as_timm


class SiameseViTConfig(ViTConfig):
    """The transformer of STARK-SV B/16 by default."""

    style: Literal["timm", "clip"] = "clip"
    drop_path: float = Field(default=0.0, ge=0, lt=1)

    def build(self, template_size: int, search_size: int) -> "SiameseViT":
        return SiameseViT(self)


class TransformerConfig(Section):
    """Sizes of encoder and decoder; the defaults are STARK's. ``ffn``: width of the hidden layers; ``encoder`` and
    ``decoder``: numbers of layers."""

    width: int = Field(default=256, ge=4, multiple_of=4)
    heads: int = Field(default=8, ge=1)
    ffn: int = Field(default=2048, ge=1)
    encoder: int = Field(default=6, ge=1)
    decoder: int = Field(default=6, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


class StarkSVConfig(FamilyConfig):
    """The network."""

    name: Literal["stark_sv"]
    backbone: SiameseViTConfig = SiameseViTConfig()
    transformer: TransformerConfig = TransformerConfig()
    head: HeadConfig = HeadConfig(kind="corner")


class SiameseViT(ImageViT):
    """``ImageViT``, called with the template and the search region in turn."""

    def forward(self, images: Tensor) -> Tensor:
        """Square crops ``[B, 3, H, H]`` -> normed tokens of their patches ``[B, N, C]``, row-major, without the class
        token."""
        tokens = self.norm_pre(self.embed(images))
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 1:]


class EncoderDecoder(nn.Module):
    """An encoder of all tokens, and a decoder whose queries start at zero and differ only by their positions (DETR,
    STARK)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        sizes = (config.width, config.heads, config.ffn, config.dropout)
        # The last layer ends in a norm, so none follows; ``layers`` is in the published names.
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(EncoderLayer(*sizes) for _ in range(config.encoder))})
        self.decoder = Decoder(*sizes, config.decoder)
        initialize_matrices(self)

    def forward(self, tokens: Tensor, positions: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens ``[B, N, C]`` with positions ``[B or 1, N, C]``, and the queries' positions ``[M, C]`` -> the memory
        ``[B, N, C]`` and the decoded queries ``[B, M, C]``."""
        memory = tokens
        for layer in self.encoder["layers"]:
            memory = layer(memory, positions)
        start = torch.zeros_like(queries).expand(tokens.shape[0], -1, -1)
        return memory, self.decoder(start, queries[None], memory, positions)


class StarkSV(TrackingModel):
    """A Siamese ViT, a transformer with one query on the tokens of both images, and a head on the search region's.

    The state of a target is one tensor, its projected tokens ``[B, Nz, C]``. ``extras`` of a prediction hold
    ``attention`` ``[B, F, F]``: the dot product of the decoded query with each search token, without a softmax.

    Some parts of the public network get no gradient; they are kept. The softmax over the one query is 1, so the rows
    of queries and keys in ``transformer.decoder.layers.*.self_attn.in_proj_*`` get none. The values in the first
    decoder layer are zero, so the rows of values in its ``in_proj_weight`` get none.
    """

    def __init__(self, config: StarkSVConfig, template_size: int, search_size: int) -> None:
        super().__init__(config, template_size, search_size)
        width = config.transformer.width
        self.backbone = config.backbone.build(template_size, search_size)
        self.bottleneck = nn.Conv2d(self.backbone.width, width, 1)
        self.transformer = EncoderDecoder(config.transformer)
        self.query_embed = nn.Embedding(1, width)
        self.box_head = build_head(config.head, width, self.search_grid)
        positions = [sine_positions(side, width) for side in (self.template_grid, self.search_grid)]
        self.register_buffer("positions", torch.cat(positions, dim=1), persistent=False)

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor]:
        return (self.project(self.backbone(template)),)

    def locate(self, state: tuple[Tensor], search: Tensor, epoch: int | None = None) -> HeadPrediction:
        tokens = torch.cat([*state, self.project(self.backbone(search))], dim=1)
        return self.predict(*self.transformer(tokens, self.positions, self.query_embed.weight))

    def project(self, tokens: Tensor) -> Tensor:
        """Backbone tokens ``[B, N, width]`` through the 1x1 convolution: ``[B, N, C]``, in float32 also under autocast,
        since each layer of the transformer adds to them."""
        projected = self.bottleneck(tokens.transpose(1, 2)[..., None]).squeeze(-1).transpose(1, 2)
        return projected.to(self.query_embed.weight.dtype)

    def predict(self, memory: Tensor, query: Tensor) -> HeadPrediction:
        """The head on the search region's part of ``memory``, each token multiplied by its dot product with the query.

        Source: lib/models/stark/stark_s.py of STARK, ``forward_box_head``.
        """
        side = self.search_grid
        found = memory[:, -(side**2) :]
        attention = (found * query).sum(dim=-1)
        prediction = self.run_head(found * attention[..., None])
        return prediction._replace(extras={"attention": attention.unflatten(1, (side, side))})


def query_map(model: StarkSV, extras: Mapping[str, Tensor]) -> TokenMap:
    """The dot products by which the head's features are multiplied."""
    return TokenMap(extras["attention"].flatten(1)[:, None], ("decoded query",), "dot product")


def attentions_of_decoder(model: StarkSV) -> dict[str, nn.Module]:
    """The query's attention to both images in each layer of the decoder, counted from 1."""
    layers = enumerate(model.transformer.decoder.layers, start=1)
    return {f"decoder {number}": layer.multihead_attn for number, layer in layers}


FAMILY = Family(
    config=StarkSVConfig,
    network=StarkSV,
    # No STARK-SV was released. The public STARK-S has our names of neck and head, SimTrack's repository has CLIP's
    # names in the backbone.
    released={r"^backbone\.visual\.": "backbone."},
    image_names=clip_as_timm,
    token_maps={"query": query_map},
    attention=attentions_of_decoder,
)
