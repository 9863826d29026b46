"""The backbones in stages, Swin and PVT, at toy size with weights that matter."""

import torch
from torch import Tensor, nn

from lib.models.backbones.pvt import PVTConfig
from lib.models.backbones.stages import StagesConfig
from lib.models.backbones.swin import SwinConfig

TEMPLATE, SEARCH = 32, 64
BOX = torch.tensor([[0.25, 0.25, 0.5, 0.5]]).expand(2, 4)
TINY = {
    "swin": SwinConfig(width=16, depths=(2, 2), heads=(2, 4), window=4, drop_path=0.0),
    "pvt": PVTConfig(widths=(8, 16), depths=(2, 1), heads=(1, 2), mlp_ratios=(2, 2), reductions=(4, 2), drop_path=0.0),
}


def randomize(module: nn.Module) -> None:
    """Weights large enough for attention to differ, biases and norms away from 0 and 1."""
    for name, parameter in sorted(module.named_parameters()):
        spread = 1.0 if name.endswith("table") else 0.1 if parameter.ndim == 1 else 1.5 / parameter[0].numel() ** 0.5
        parameter.data = torch.randn_like(parameter) * spread + (parameter.ndim == 1 and "norm" in name)


def built(config: StagesConfig, search_size: int = SEARCH) -> nn.Module:
    """The configuration's backbone in eval mode, always with the same weights."""
    torch.manual_seed(0)
    backbone = config.build(TEMPLATE, search_size).eval()
    randomize(backbone)
    return backbone


def images(*sizes: int, batch: int = 2) -> list[Tensor]:
    """Square images of noise."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(batch, 3, size, size, generator=generator) for size in sizes]
