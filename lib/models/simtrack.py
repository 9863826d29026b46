"""SimTrack (Backbone is All Your Need, ECCV 2022): template and search region go through one image backbone as a
sequence of tokens, and a corner head predicts the box from the search tokens."""

from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from lib.models.backbones.image import ImageViT
from lib.models.backbones.pvt import PVTConfig
from lib.models.backbones.swin import SwinConfig
from lib.models.backbones.vit import ViTConfig
from lib.models.base import Family, FamilyConfig, TrackingModel
from lib.models.heads.registry import HeadConfig, HeadPrediction, build_head
from lib.models.layers.detr import Decoder, initialize_matrices, sine_positions
from lib.models.weights.renaming import clip_as_timm


class SerialViTConfig(ViTConfig):
    """The transformer of Sim-B/16 by default.

    * ``foveal``: side of the foveal window in pixels (Section 3.3), or 0 for none. 64; 42 with patches of 14.
    * ``exemplar_position``: positions of the template's patches (the paper's exemplar): "eq7", from the center of a
      patch and the share of it that the target covers; "image", the pretrained ones, resized to the template's grid.
      The digits of result folders depend on this name.
    * ``interact_every``: template and search tokens attend to each other in every block (1), in blocks 2, 4, 6 ... (2),
      or in 4, 8, 12 ... (4), counted from 1. In the other blocks, template tokens attend to template tokens alone, and
      search tokens to search tokens.
    * ``one_way``: template tokens never attend to search tokens (Table 7's models; 0.2 LaSOT AUC in the ViT).
    """

    kind: Literal["vit"] = "vit"
    style: Literal["timm", "clip"] = "clip"
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    foveal: int = Field(default=64, ge=0)
    exemplar_position: Literal["eq7", "image"] = "eq7"
    interact_every: int = Field(default=1, ge=1)
    one_way: bool = False

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.foveal % self.patch:
            raise ValueError(f"foveal: {self.foveal} is not a multiple of patch {self.patch}; 0 is no foveal window")
        if self.interact_every > self.depth:
            raise ValueError(f"interact_every: {self.interact_every} with depth {self.depth}: no block would interact")
        return self

    def build(self, template_size: int, search_size: int) -> "SerialViT":
        return SerialViT(self, template_size, search_size)


SerialBackbone = Annotated[SerialViTConfig | SwinConfig | PVTConfig, Field(discriminator="kind")]


class SimTrackConfig(FamilyConfig):
    """The network. Beyond ``BackboneConfig``, a backbone's configuration has a ``kind``, and its
    module has

    * ``encode_template(template [B, 3, Hz, Wz], box [B, 4]) -> tuple``: the part of the template's features that does
      not depend on the search region, tensors with a leading batch axis,
    * ``forward(state, search [B, 3, Hx, Wx]) -> (search tokens [B, Nx, C], template tokens [B, Nz, C])``, row-major.

    ``bottleneck``: channels of the linear layer between backbone and head. ``decoder_layers``: layers of STARK's
    decoder between bottleneck and head, with search tokens as queries and template tokens as memory (Table 9). The
    paper gives no sizes; 8 heads, hidden layers of 8 times the bottleneck and sine positions are STARK's.
    """

    name: Literal["simtrack"]
    backbone: SerialBackbone = SerialViTConfig()
    bottleneck: int = Field(default=256, ge=8, multiple_of=8)
    decoder_layers: int = Field(default=0, ge=0)
    head: HeadConfig = HeadConfig(kind="corner")

    def misfits(self, template_size: int, search_size: int, compiled: bool) -> list[str]:
        if self.backbone.kind != "vit" or template_size - self.backbone.foveal >= self.backbone.patch:
            return []
        return [
            f"model.backbone.foveal: {self.backbone.foveal} with template.size {template_size}; the window lies half a "
            "patch beside the template's patches and must be smaller than it by a patch"
        ]


class TemplatePosition(nn.Sequential):
    """Eq. 7: two fully connected layers on (R, x, y) of each patch; published names.

    The paper gives only (i, j, R). The rest is the repository's form (lib/models/stark/clipvit16.py): R is mapped from
    [0, 1] to [1/2, 1], x and y are the patch's center in fractions of the crop, C / 2 hidden units with ReLU, and the
    result is 2 * sigmoid - 1. Layers start from PyTorch's defaults, as published.
    """

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(3, width // 2), nn.ReLU(), nn.Linear(width // 2, width))

    def forward(self, box: Tensor, grid: int) -> Tensor:
        """Box ``[B, 4]`` xywh in fractions of the template -> positions ``[B, grid * grid, C]``, row-major, in
        (-1, 1)."""
        centers = (torch.arange(grid, device=box.device) + 0.5) / grid
        rows, columns = torch.meshgrid(centers, centers, indexing="ij")
        ratio = covered_share(box, grid)
        described = torch.stack([(ratio + 1) / 2, columns.expand_as(ratio), rows.expand_as(ratio)], dim=-1)
        return 2 * super().forward(described.flatten(1, 2)).sigmoid() - 1


def covered_share(box: Tensor, grid: int) -> Tensor:
    """R of Eq. 7: the share of each cell that the box covers, ``[B, grid, grid]`` by row and column, for boxes
    ``[B, 4]`` xywh in fractions of the crop."""
    low, high = (box[:, :2] * grid)[..., None], ((box[:, :2] + box[:, 2:]) * grid)[..., None]
    first = torch.arange(grid, device=box.device)
    along = (torch.minimum(high, first + 1) - torch.maximum(low, first)).clamp(min=0)
    return along[:, 1, :, None] * along[:, 0, None, :]


def first_cell(grid: int, cells: int) -> int:
    """The patch in whose middle the foveal window begins, along both axes; the window has ``cells`` patches a side, the
    template ``grid``.

    If ``grid - cells`` is odd (ViT-B/16: 7 and 4, L/14: 6 and 3) the window is centered. If it is even (B/32: 4 and 2)
    a centered window would repeat the template's own patches, so it lies half a patch further right and down, as in the
    paper's appendix, which moves the image up and left first. The repository's condition for that
    (lib/models/stark/clipvit16.py) is never true for B/32, whose foveal tokens there only repeat template tokens.
    """
    return (grid - cells) // 2


def foveal_window(template: Tensor, patch: int, cells: int) -> Tensor:
    """The window's pixels ``[B, 3, cells * patch, cells * patch]`` of the template ``[B, 3, H, H]``."""
    start = first_cell(template.shape[-1] // patch, cells) * patch + patch // 2
    return template[:, :, start : start + cells * patch, start : start + cells * patch]


def foveal_positions(positions: Tensor, cells: int) -> Tensor:
    """Positions ``[B, cells * cells, C]`` of the foveal patches from the template's ``[B, n * n, C]``.

    A foveal patch overlaps four of the template's; it takes the mean position of two of them, the upper left and the
    lower right, as in the repository. The paper (Section 3.3) applies Eq. 7 instead.
    """
    grid = round(positions.shape[1] ** 0.5)
    first = first_cell(grid, cells)
    table = positions.unflatten(1, (grid, grid))
    upper, lower = (table[:, i : i + cells, i : i + cells] for i in (first, first + 1))
    return ((upper + lower) / 2).flatten(1, 2)


class SerialViT(ImageViT):
    """``ImageViT`` whose sequence is template patches, foveal patches, class token and search patches.

    The published order differs, but attention without masks does not depend on it. ``pos_fc`` is Eq. 7.
    """

    def __init__(self, config: SerialViTConfig, template_size: int, search_size: int) -> None:
        super().__init__(config)
        self.foveal_cells = config.foveal // config.patch
        self.template_grid, self.search_grid = template_size // config.patch, search_size // config.patch
        assert self.foveal_cells < self.template_grid, (config.foveal, template_size)
        self.pos_fc = TemplatePosition(config.width) if config.exemplar_position == "eq7" else None
        template = self.template_grid**2 + self.foveal_cells**2
        joint, apart = allowed_attention(template, 1 + self.search_grid**2, config.one_way)
        self.register_buffer("joint", joint, persistent=False)
        self.register_buffer("apart", apart, persistent=False)
        self.interacts = [number % config.interact_every == 0 for number in range(1, config.depth + 1)]

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor]:
        """Template ``[B, 3, Hz, Wz]`` and box ``[B, 4]`` xywh in fractions of it -> its tokens with positions, foveal
        ones last, ``[B, Nz + Nf, C]``. From the first block on everything depends on the search region."""
        if self.pos_fc is None:
            positions = self.image_positions(self.template_grid)
        else:
            positions = self.pos_fc(box, self.template_grid)
        tokens = self.patch_embed(template) + positions
        if self.foveal_cells:
            middle = self.patch_embed(foveal_window(template, self.patch, self.foveal_cells))
            tokens = torch.cat([tokens, middle + foveal_positions(positions, self.foveal_cells)], dim=1)
        return (tokens,)

    def forward(self, state: tuple[Tensor], search: Tensor) -> tuple[Tensor, Tensor]:
        """The state and the search crop ``[B, 3, Hx, Wx]`` -> normed tokens of the search region ``[B, Nx, C]`` and of
        the template ``[B, Nz, C]``, row-major, without class and foveal tokens."""
        (template,) = state
        tokens = self.norm_pre(torch.cat([template, self.embed(search)], dim=1))
        for block, interacts in zip(self.blocks, self.interacts, strict=True):
            tokens = block(tokens, self.joint if interacts else self.apart)
        tokens = self.norm(tokens)
        return tokens[:, -(self.search_grid**2) :], tokens[:, : self.template_grid**2]


def allowed_attention(template: int, search: int, one_way: bool) -> tuple[Tensor | None, Tensor]:
    """Masks of allowed attention among ``template`` tokens, then ``search`` tokens (which include the class token),
    bool ``[N, N]`` by query and key: for blocks where both kinds interact (None: all to all) and for the others.
    ``one_way``: search tokens attend to template tokens, but not the reverse."""
    of_search = torch.arange(template + search) >= template
    apart = of_search[:, None] == of_search
    return (apart | of_search[:, None]) if one_way else None, apart


class SimTrack(TrackingModel):
    """Template and search region in one backbone, a linear bottleneck, then a head on the search tokens.

    The state of a target is the backbone's part of the template that does not depend on the search region. The head's
    grid follows from the crop and the backbone's stride; the repository has 16 pixels for all, which fits only B/16.
    ``extras`` is empty.
    """

    def __init__(self, config: SimTrackConfig, template_size: int, search_size: int) -> None:
        super().__init__(config, template_size, search_size)
        self.backbone = config.backbone.build(template_size, search_size)
        self.bottleneck = nn.Linear(self.backbone.width, config.bottleneck)
        self.decoder = None
        if config.decoder_layers:
            width = config.bottleneck
            self.decoder = Decoder(width, heads=8, ffn=8 * width, dropout=0.1, depth=config.decoder_layers)
            initialize_matrices(self.decoder)
            for image, side in (("template", self.template_grid), ("search", self.search_grid)):
                self.register_buffer(f"{image}_positions", sine_positions(side, width), persistent=False)
        self.box_head = build_head(config.head, config.bottleneck, self.search_grid)

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor, ...]:
        return self.backbone.encode_template(template, box)

    def locate(self, state: tuple[Tensor, ...], search: Tensor, epoch: int | None = None) -> HeadPrediction:
        search_tokens, template_tokens = self.backbone(state, search)
        tokens = self.bottleneck(search_tokens)
        if self.decoder is not None:
            memory = self.bottleneck(template_tokens)
            tokens = self.decoder(tokens, self.search_positions, memory, self.template_positions)
        return self.run_head(tokens)


def attentions_of_template(model: SimTrack) -> dict[str, nn.Module]:
    """Attentions in which template tokens attend to search tokens; blocks are counted from 1."""
    backbone = model.backbone
    if not isinstance(backbone, SerialViT) or backbone.joint is not None:  # the mask of one_way
        return {}
    blocks = enumerate(zip(backbone.blocks, backbone.interacts, strict=True), start=1)
    return {f"block {number}": block.attn for number, (block, interacts) in blocks if interacts}


FAMILY = Family(
    config=SimTrackConfig,
    network=SimTrack,
    # The names of SimTrack's repository (github.com/LPXTT/SimTrack): CLIP's in the backbone, ours elsewhere. The file
    # that its authors released has those of another, unknown code base; it needs a table of names first.
    released={r"^backbone\.visual\.": "backbone."},
    image_names=clip_as_timm,
    # The published optimizer's groups: pretrained parameters; the layers of Eq. 7 in the backbone; the rest.
    groups={"backbone": r"backbone\.(?!pos_fc\.)", "position": r"backbone\.", "head": ""},
    fresh=(r"backbone\.pos_fc\.",),
    attention=attentions_of_template,
)
