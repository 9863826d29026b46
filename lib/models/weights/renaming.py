"""Names of published weights under other names: timm's for image networks, ours by a table that the user writes."""

import re
from collections import abc
from pathlib import Path

from torch import Tensor

from lib.config.schema import ConfigError
from lib.config.yaml12 import read_yaml
from lib.runtime.checkpoint import CheckpointError

NameTable = abc.Mapping[str, str | None]
# Patterns in names, as ``re.sub`` takes them, with what replaces each, in turn; None leaves such weights out.
Patterns = abc.Mapping[str, str | None]

_CLIP = {
    r"^conv1\.": "patch_embed.proj.",
    r"^class_embedding$": "cls_token",
    r"^positional_embedding$": "pos_embed",
    r"^ln_pre\.": "norm_pre.",
    r"^ln_post\.": "norm.",
    r"^transformer\.resblocks\.": "blocks.",
    r"\.ln_([12])\.": r".norm\1.",
    r"\.attn\.in_proj_": ".attn.qkv.",
    r"\.attn\.out_proj\.": ".attn.proj.",
    r"\.mlp\.c_fc\.": ".mlp.fc1.",
    r"\.mlp\.c_proj\.": ".mlp.fc2.",
}
# The layers of SwiGLU, which timm names otherwise than DINOv2.
DINOV2 = {r"\.mlp\.w12\.": ".mlp.fc1.", r"\.mlp\.w3\.": ".mlp.fc2."}

# A name that only the EfficientNet port has, and the blocks in each stage of EfficientNet-B0 and -Lite0.
EFFICIENTNET = "_conv_stem.weight"
_STAGES = (1, 2, 2, 3, 3, 4, 1)
_EFFICIENTNET = {
    r"^_conv_stem\.": "conv_stem.",
    r"^_bn0\.": "bn1.",
    r"^_conv_head\.": "conv_head.",
    r"^_bn1\.": "bn2.",
    r"^_fc\.": "classifier.",
    # The first block has no expansion.
    r"^(blocks\.0\.0)\._depthwise_conv\.": r"\1.conv_dw.",
    r"^(blocks\.0\.0)\._project_conv\.": r"\1.conv_pw.",
    r"^(blocks\.0\.0)\._bn([12])\.": r"\1.bn\2.",
    r"\._expand_conv\.": ".conv_pw.",
    r"\._depthwise_conv\.": ".conv_dw.",
    r"\._project_conv\.": ".conv_pwl.",
    r"\._bn0\.": ".bn1.",
    r"\._bn1\.": ".bn2.",
    r"\._bn2\.": ".bn3.",
}


def clip_as_timm(weights: abc.Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of openai/CLIP's ``VisionTransformer`` (clip/model.py), without a prefix, as timm names them.

    The class token becomes ``[1, 1, C]`` and the positions ``[1, 1 + N, C]``. The projection to CLIP's common space
    (``proj``), which no tracker uses, is left out; other names stay as they are.
    """
    result = replaced(weights, _CLIP | {"^proj$": None})
    for name, axes in (("class_embedding", (None, None)), ("positional_embedding", (None,))):
        if name in weights:
            result[_CLIP[f"^{name}$"]] = weights[name][axes]
    return result


def efficientnet_as_timm(weights: abc.Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of L. Melas-Kyriazi's PyTorch port of EfficientNet, size B0 or Lite0, as timm names them; other names
    stay as they are. The port numbers all blocks in one row, timm in each stage anew."""
    blocks = [f"blocks.{stage}.{index}." for stage, count in enumerate(_STAGES) for index in range(count)]
    staged = {rf"^_blocks\.{number}\.": block for number, block in enumerate(blocks)} | _EFFICIENTNET
    return replaced(weights, staged)


def replaced(weights: abc.Mapping[str, Tensor], patterns: Patterns) -> dict[str, Tensor]:
    """``weights`` renamed by ``patterns``. Raises CheckpointError if two would get one name."""
    result: dict[str, Tensor] = {}
    for published, value in weights.items():
        name = published
        for pattern, replacement in patterns.items():
            if re.search(pattern, name):
                if replacement is None:
                    break
                name = re.sub(pattern, replacement, name)
        else:
            _add(result, name, published, value)
    return result


def _add(result: dict[str, Tensor], name: str, published: str, value: Tensor) -> None:
    if name in result:
        raise CheckpointError(f"two weights would be named {name}, one of them {published} before")
    result[name] = value


def read_table(path: Path) -> NameTable:
    """A table of names: a YAML file of lines ``theirs: ours``, in order; see ``renamed``. Raises ``ConfigError``."""
    table = read_yaml(path)
    for theirs, ours in table.items():
        fits = isinstance(ours, str) and theirs.endswith(".") == (ours == "" or ours.endswith("."))
        if ours is not None and not fits:
            raise ConfigError(
                f"{path}: {theirs}: got {ours!r}; should be a name for a name, a beginning with a dot at its end (or "
                "'') for one, or nothing to leave such weights out"
            )
    return table


def renamed(
    weights: abc.Mapping[str, Tensor], table: NameTable
) -> tuple[dict[str, Tensor], tuple[str, ...], tuple[str, ...]]:
    """``weights`` renamed by ``table``, the names that no line fits, and the lines that fit no name.

    A line ``theirs: ours`` replaces the name ``theirs`` or, if that ends in a dot, the beginning of every name that
    begins so; None leaves such weights out. The first line that fits a name counts; names without a line stay. Raises
    CheckpointError if two weights would get one name.
    """
    result: dict[str, Tensor] = {}
    unmatched, used = [], set()
    for name, value in weights.items():
        line = next((line for line in table if name == line or (line.endswith(".") and name.startswith(line))), None)
        if line is None:
            unmatched.append(name)
            _add(result, name, name, value)
            continue
        used.add(line)
        ours = table[line]
        if ours is not None:
            _add(result, ours + name.removeprefix(line), name, value)
    return result, tuple(unmatched), tuple(line for line in table if line not in used)
