"""SimTrack (Backbone is All Your Need, ECCV 2022): exemplar and search region go through one image backbone as a
sequence of tokens, and a corner head reads the box off the search tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from lib.models.backbones.pvt import PVTConfig
from lib.models.backbones.serial import SerialViTConfig
from lib.models.backbones.swin import SwinConfig
from lib.models.base import Family, FamilyConfig, HeadPrediction, TrackingModel
from lib.models.clip_names import clip_as_timm
from lib.models.heads.config import HeadConfig, build_head
from lib.models.layers.encoder_decoder import Decoder
from lib.models.layers.positions import full_grid

BackboneConfig = Annotated[SerialViTConfig | SwinConfig | PVTConfig, Field(discriminator="kind")]


class SimTrackConfig(FamilyConfig):
    """The network. A backbone's configuration has ``kind``, ``cell() -> (pixels, key)`` and
    ``build(template_size, search_size)``, which gives a module with

    * ``width``: channels of its tokens,
    * ``encode_template(template [B, 3, Hz, Wz], box [B, 4]) -> tuple``: what of the template does not depend on the
      search region, tensors with a leading batch axis,
    * ``forward(state, search [B, 3, Hx, Wx]) -> (search tokens [B, Nx, C], exemplar tokens [B, Nz, C])``, row-major,
    * ``from_image_weights``, as every backbone.

    ``bottleneck``: channels of the linear layer between backbone and head. ``decoder_layers``: of STARK's decoder
    between bottleneck and head, with search tokens as queries and exemplar tokens as memory (Table 9; the paper says no
    more of it: 8 heads, hidden layers of 8 times the bottleneck and sine positions are STARK's).
    """

    name: Literal["simtrack"]
    backbone: BackboneConfig = SerialViTConfig()
    bottleneck: int = Field(default=256, ge=8, multiple_of=8)
    decoder_layers: int = Field(default=0, ge=0)
    head: HeadConfig = HeadConfig(kind="corner")

    def cell(self) -> tuple[int, str]:
        """See ``FamilyConfig``."""
        return self.backbone.cell()

    def misfits(self, template_size: int, search_size: int) -> list[str]:
        """See ``FamilyConfig``."""
        if self.backbone.kind != "vit" or template_size - self.backbone.foveal >= self.backbone.patch:
            return []
        return [
            f"model.backbone.foveal: {self.backbone.foveal} with template.size {template_size}; the window lies half a "
            "patch beside the exemplar's patches and must be smaller than it by a patch"
        ]


class SimTrack(TrackingModel):
    """Exemplar and search region in one backbone, a linear bottleneck, then a head on the search tokens.

    The state of a target is what the backbone keeps of the template: what does not depend on the search region. The
    head's grid follows from the crop and the backbone's cells; the repository's is fixed to cells of 16 pixels, which
    fits B/16 alone. A prediction has no extras.
    """

    def __init__(self, config: SimTrackConfig, template_size: int, search_size: int) -> None:
        super().__init__()
        cell, _ = config.cell()
        self.template_grid, self.search_grid = template_size // cell, search_size // cell
        self.backbone = config.backbone.build(template_size, search_size)
        self.bottleneck = nn.Linear(self.backbone.width, config.bottleneck)
        self.decoder = _search_decoder(config.bottleneck, config.decoder_layers) if config.decoder_layers else None
        self.box_head = build_head(config.head, config.bottleneck, self.search_grid)

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor, ...]:
        """See ``TrackingModel``."""
        return self.backbone.encode_template(template, box)

    def locate(self, state: tuple[Tensor, ...], search: Tensor, epoch: int | None = None) -> HeadPrediction:
        """See ``TrackingModel``."""
        search_tokens, exemplar_tokens = self.backbone(state, search)
        tokens = self.bottleneck(search_tokens)
        if self.decoder is not None:
            grids = (self.search_grid, self.template_grid)
            search_places, places = (full_grid(grid, tokens.shape[-1], tokens.device) for grid in grids)
            tokens = self.decoder(tokens, search_places, self.bottleneck(exemplar_tokens), places)
        features = tokens.transpose(1, 2).unflatten(2, (self.search_grid, self.search_grid))
        return self.box_head(features)


def _search_decoder(width: int, layers: int) -> Decoder:
    """STARK's decoder for tokens of ``width`` channels, its matrices starting from Xavier's rule as STARK's do."""
    decoder = Decoder(width, heads=8, ffn=8 * width, dropout=0.1, depth=layers)
    for parameter in decoder.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)
    return decoder


def simtrack_from_released(weights: Mapping[str, Tensor], owned: frozenset[str]) -> dict[str, Tensor]:
    """Weights under the names of SimTrack's repository (github.com/LPXTT/SimTrack): its backbone is CLIP's in
    ``backbone.visual``, all other names are ours.

    CLIP's projection, which the network never uses, is left out. The file that the authors released has names of
    another code base, which are unknown to us; it needs a table of names first.
    """
    visual = "backbone.visual."
    inside = {name.removeprefix(visual): value for name, value in weights.items() if name.startswith(visual)}
    beside = {name: value for name, value in weights.items() if not name.startswith(visual)}
    return {f"backbone.{name}": value for name, value in clip_as_timm(inside).items()} | beside


FAMILY = Family(
    config=SimTrackConfig,
    build=SimTrack,
    from_released=simtrack_from_released,
    # The published optimizer's: what is pretrained; the layers of Eq. 7 in the backbone, which are not; the rest.
    groups={"backbone": r"backbone\.(?!pos_fc\.)", "position": r"backbone\.", "head": ""},
    fresh=(r"backbone\.pos_fc\.",),
)
