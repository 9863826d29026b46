"""EfficientNet's names in the PyTorch port by L. Melas-Kyriazi, which EfficientNet-Lite's files bear, as timm's."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

# A name that no other network of ours has.
MARK = "_conv_stem.weight"
# Blocks in each stage of EfficientNet-B0 and -Lite0; the files number the blocks through.
STAGES = (1, 2, 2, 3, 3, 4, 1)
_AROUND = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
# The first block has no expansion: a depth-wise separable convolution.
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OTHERS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def efficientnet_as_timm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the port's ``EfficientNet`` of size B0 or Lite0 as timm would name them; names that it does not
    have stay as they are."""
    return {_name(name): value for name, value in weights.items()}


def _name(name: str) -> str:
    first, *rest = name.split(".")
    if first != "_blocks" or len(rest) < 2 or not rest[0].isdigit():
        return ".".join([_AROUND.get(first, first), *rest])
    number, part, *rest = rest
    stage, index = _stage(int(number))
    table = _FIRST if (stage, index) == (0, 0) else _OTHERS
    return ".".join(["blocks", str(stage), str(index), table.get(part, part), *rest])


def _stage(block: int) -> tuple[int, int]:
    """The stage of a block and its number there, both from 0; blocks beyond the last stage count on in it."""
    for stage, blocks in enumerate(STAGES[:-1]):
        if block < blocks:
            return stage, block
        block -= blocks
    return len(STAGES) - 1, block
