"""Foreign weights: one pure function a source turns their names into ours; loading is strict and reports everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from lib.models.base import TrackingModel
from lib.models.registry import RELEASED
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
    weights = {f"backbone.{name}": value for name, value in model.backbone.from_image_weights(image_weights).items()}
    fresh = {
        name: value
        for name, value in model.state_dict().items()
        if not name.startswith("backbone.") or ".divide_predict." in name
    }
    load_weights(model, {**fresh, **weights}, path)
    taken = {name.removeprefix("backbone.") for name in weights}
    dropped = tuple(name for name in image_weights if name not in taken and name != "pos_embed")
    return LoadReport(tuple(weights), dropped, tuple(fresh))
