"""Foreign weights: one pure function a source turns their names into ours; loading is strict and reports everything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from lib.models.base import TrackingModel
from lib.runtime.checkpoint import CheckpointError, load_weights, read_checkpoint

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class LoadReport:
    """What loading did: names ``taken``; names ``dropped`` on purpose (the network does not own them); and names
    ``initialised``, which the source lacks by nature and which keep their fresh values."""

    taken: tuple[str, ...]
    dropped: tuple[str, ...]
    initialised: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{len(self.taken)} tensors taken"]
        for title, names in (("not used", self.dropped), ("fresh", self.initialised)):
            if names:
                shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
                parts.append(f"{len(names)} {title} ({shown})")
        return "; ".join(parts)


@dataclass(frozen=True)
class InitialWeights:
    """A published file of initial weights: where it comes from, and what its checksum begins with."""

    url: str
    checksum: str


_MAE, _DEIT = "https://dl.fbaipublicfiles.com/mae/pretrain/", "https://dl.fbaipublicfiles.com/deit/"
# MAE's README gives the beginnings of md5 sums; DeiT's file names bear those of sha256 sums, as torch.hub reads them.
INITIAL_WEIGHTS = {
    name: InitialWeights(folder + name, checksum)
    for folder, name, checksum in (
        (_MAE, "mae_pretrain_vit_base.pth", "md5 8cad7c"),
        (_MAE, "mae_pretrain_vit_large.pth", "md5 b8b06e"),
        (_DEIT, "deit_base_patch16_224-b5f2ef4d.pth", "sha256 b5f2ef4d"),
        (_DEIT, "deit_base_distilled_patch16_224-df68dfff.pth", "sha256 df68dfff"),
    )
}


def grm_from_released(weights: Mapping[str, Tensor], owned: frozenset[str]) -> Weights:
    """GRM's released names are ours; its ``cls_token`` and ``pos_embed`` are never used by the network, and a one- or
    two-stream network, which owns no ``divide_predict``, has no use for the predictors."""
    divides = any(".divide_predict." in name for name in owned)
    unused = {"backbone.cls_token", "backbone.pos_embed"}
    return {
        name: value
        for name, value in weights.items()
        if name not in unused and (divides or ".divide_predict." not in name)
    }


RELEASED: dict[str, Callable[[Mapping[str, Tensor], frozenset[str]], Weights]] = {"grm": grm_from_released}


def vit_from_image_weights(weights: Mapping[str, Tensor], template_grid: int, search_grid: int) -> Weights:
    """Weights of an image ViT in timm's names (MAE, DeiT, distilled DeiT) as our backbone's.

    The position table loses its class and distillation tokens, and is resized bicubically to the template's and the
    search region's grids, as the published code does (Little-Podi/GRM lib/models/grm/base_backbone.py).
    """
    renamed = {
        f"backbone.{name}": value
        for name, value in weights.items()
        if name.startswith(("patch_embed.", "blocks.", "norm."))
    }
    table = weights["pos_embed"]
    side = isqrt(table.shape[1])
    image = table[:, -(side**2) :].transpose(1, 2).unflatten(2, (side, side))
    for key, grid in (("backbone.pos_embed_z", template_grid), ("backbone.pos_embed_x", search_grid)):
        resized = F.interpolate(image, size=(grid, grid), mode="bicubic", align_corners=False)
        renamed[key] = resized.flatten(2).transpose(1, 2)
    return renamed


def load_released(model: TrackingModel, state_dict: Mapping[str, Tensor]) -> LoadReport:
    """Load a published network's ``state_dict`` (its own names) into ``model``, strictly.

    Raises ``CheckpointError`` that lists every missing, unexpected and reshaped key; the model is then unchanged.
    """
    weights = RELEASED[model.family](state_dict, frozenset(model.state_dict()))
    load_weights(model, weights, "the released weights")
    return LoadReport(tuple(weights), tuple(name for name in state_dict if name not in weights))


def find_initial(file: str, folder: Path) -> Path:
    """Where the initial weights lie; ``CheckpointError`` for an absent file says where it comes from."""
    path = folder / file
    if not path.is_file():
        known = INITIAL_WEIGHTS.get(file)
        origin = f"known files are {', '.join(INITIAL_WEIGHTS)}"
        if known:
            origin = f"get it from {known.url} ({known.checksum}...)"
        raise CheckpointError(
            f"model.pretrained: {path} does not exist; {origin}, or say model.pretrained=none for random weights"
        )
    return path


def load_initial(model: TrackingModel, file: str, folder: Path) -> LoadReport:
    """Initial weights of the backbone from ``folder / file``, an image ViT's checkpoint (``model`` key or bare).

    What such a file lacks by nature (head, division predictors) keeps its fresh values and is reported. Raises
    ``CheckpointError`` for a file that is absent, damaged or of another network.
    """
    path = find_initial(file, folder)
    content = read_checkpoint(path)
    image_weights = content.get("model", content)
    if not isinstance(image_weights, dict) or "pos_embed" not in image_weights:
        raise CheckpointError(f"model.pretrained: {path} holds no image transformer (no key pos_embed)")
    weights = vit_from_image_weights(image_weights, model.template_grid, model.search_grid)
    fresh = {
        name: value
        for name, value in model.state_dict().items()
        if not name.startswith("backbone.") or ".divide_predict." in name
    }
    load_weights(model, {**fresh, **weights}, path)
    taken = {name.removeprefix("backbone.") for name in weights}
    dropped = tuple(name for name in image_weights if name not in taken and name != "pos_embed")
    return LoadReport(tuple(weights), dropped, tuple(fresh))
