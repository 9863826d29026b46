"""LoRAT (Tracking Meets LoRA, ECCV 2024): template and search tokens in one frozen DINOv2 with trained low-rank updates
of its linear layers, and a head of perceptrons on the search tokens."""

from collections.abc import Mapping
from typing import Literal, Self

import torch
from torch import Tensor, nn

from lib.geometry.grids import touched_cells
from lib.models.backbones.dinov2 import DINOv2Config
from lib.models.base import Family, FamilyConfig, TrackingModel
from lib.models.heads.registry import HeadConfig, HeadPrediction, build_head
from lib.models.layers.lora import LoRAConfig, add_lora, merge_lora
from lib.models.weights.renaming import DINOV2


class LoRATConfig(FamilyConfig):
    """The network. ``lora``: the updates of the blocks' linear layers; ``enabled: false`` trains all weights."""

    name: Literal["lorat"]
    backbone: DINOv2Config = DINOv2Config()
    lora: LoRAConfig = LoRAConfig()
    head: HeadConfig = HeadConfig(kind="distance", channels=768)

    def folded(self) -> Self:
        return self.model_copy(update={"lora": self.lora.model_copy(update={"enabled": False})})

    def misfits(self, template_size: int, search_size: int, compiled: bool) -> list[str]:
        if template_size <= search_size:
            return []
        return [
            f"template.size: {template_size} with search.size {search_size}; the template's positions are a corner of "
            "the search region's, so it must not be larger"
        ]


class LoRAT(TrackingModel):
    """The state of a target is its tokens before the first block, ``[B, Nz, C]``. ``extras`` is empty.

    ``token_type_embed`` ``[3, C]`` marks tokens: template off the target (0), on the target (1), search region (2).
    """

    def __init__(self, config: LoRATConfig, template_size: int, search_size: int) -> None:
        super().__init__(config, template_size, search_size)
        self.backbone = config.backbone.build(template_size, search_size)
        self.token_type_embed = nn.Parameter(torch.zeros(3, self.backbone.width))
        nn.init.trunc_normal_(self.token_type_embed, std=0.02)
        self.lora = config.lora
        if config.lora.enabled:
            add_lora(self.backbone.blocks, config.lora)
        self.box_head = build_head(config.head, self.backbone.width, self.search_grid)

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor]:
        on_target = touched_cells(box, self.template_grid).long()
        return (self.backbone.embed_template(template) + self.token_type_embed[on_target],)

    def locate(self, state: tuple[Tensor], search: Tensor, epoch: int | None = None) -> HeadPrediction:
        tokens = self.backbone(*state, self.backbone.embed_search(search) + self.token_type_embed[2])
        return self.run_head(tokens)

    def fold(self) -> None:
        """Merges the updates into the weights."""
        merge_lora(self.backbone.blocks)

    def check_released(self, weights: Mapping[str, Tensor]) -> None:
        """Compares alpha and the form of the scaling, which full files state. The released partial files do not; there
        the configuration's values are used."""
        for name, key, value in (("lora_alpha", "alpha", self.lora.alpha), ("use_rslora", "rslora", self.lora.rslora)):
            if self.lora.enabled and name in weights and weights[name].item() != value:
                raise ValueError(f"it was trained with model.lora.{key}={weights[name].item()}, not {value}")


# The names of LoRAT's repository (github.com/LitingLin/LoRAT), with updates or merged.
_RELEASED = {
    "^(lora_alpha|use_rslora)$": None,  # settings in full files, see ``LoRAT.check_released``
    r"^(pos_embed|patch_embed|blocks|norm)\b": r"backbone.\1",
    r"^head\.": "box_head.",
    **DINOV2,
}


def frozen_under_lora(config: LoRATConfig) -> tuple[str, ...]:
    """With updates, all else in the backbone is frozen: patches, positions, norms and LayerScale too."""
    return (r"backbone\.(?!.*\.lora\.)",) if config.lora.enabled else ()


def attentions_of_blocks(model: LoRAT) -> dict[str, nn.Module]:
    """The attention of every block, counted from 1."""
    return {f"block {number}": block.attn for number, block in enumerate(model.backbone.blocks, start=1)}


FAMILY = Family(
    config=LoRATConfig,
    network=LoRAT,
    released=_RELEASED,
    frozen=frozen_under_lora,
    fresh=(r"backbone\..*\.lora\.",),
    attention=attentions_of_blocks,
)
