"""CLIP's vision transformer under timm's names, which our transformers bear."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

_WHOLE = {
    "conv1.weight": "patch_embed.proj.weight",
    "class_embedding": "cls_token",
    "positional_embedding": "pos_embed",
}
_BEGINNING = {"ln_pre.": "norm_pre.", "ln_post.": "norm.", "transformer.resblocks.": "blocks."}
_IN_BLOCK = {
    ".ln_1.": ".norm1.",
    ".ln_2.": ".norm2.",
    ".attn.in_proj_": ".attn.qkv.",
    ".attn.out_proj.": ".attn.proj.",
    ".mlp.c_fc.": ".mlp.fc1.",
    ".mlp.c_proj.": ".mlp.fc2.",
}


def clip_as_timm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of openai/CLIP's ``VisionTransformer`` (clip/model.py), without a prefix, as timm would name them.

    The class token becomes ``[1, 1, C]`` and the positions ``[1, 1 + N, C]``. The projection to CLIP's common space
    (``proj``), which no tracker uses, is left out; names that are not CLIP's stay as they are.
    """
    return {_name(name): _value(name, value) for name, value in weights.items() if name != "proj"}


def _name(name: str) -> str:
    if name in _WHOLE:
        return _WHOLE[name]
    for theirs, ours in _BEGINNING.items():
        if name.startswith(theirs):
            name = ours + name.removeprefix(theirs)
            break
    for theirs, ours in _IN_BLOCK.items():
        name = name.replace(theirs, ours)
    return name


def _value(name: str, value: Tensor) -> Tensor:
    if name == "class_embedding":
        return value[None, None]
    return value[None] if name == "positional_embedding" else value
