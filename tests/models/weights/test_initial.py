"""Initial weights from image networks: every source's names, equal functions, resized tables, what is refused."""

import hashlib
import re
import urllib.error
from functools import partial
from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from families import fresh, tiny
from safetensors.torch import save_file
from timm.models import VisionTransformer
from torch import Tensor, nn

from lib.config.paths import REPOSITORY
from lib.experiment.config import EXPERIMENTS, load_experiment
from lib.models.backbones.vit import JointViT, ViTConfig
from lib.models.base import Family, FamilyConfig, TrackingModel
from lib.models.simtrack import SerialViT, SerialViTConfig
from lib.models.stark_sv import SiameseViT
from lib.models.weights.initial import (
    INITIAL_WEIGHTS,
    UNKNOWN_CHECKSUM,
    InitialWeights,
    check_initial,
    image_network,
    load_initial,
    one_class_position,
    without_layer_scale,
)
from lib.runtime.checkpoint import CheckpointError

WIDTH, DEPTH, HEADS, PATCH = 16, 2, 2, 8
SIZES = {"width": WIDTH, "depth": DEPTH, "heads": HEADS, "patch": PATCH, "drop_path": 0.0}


class Holder(TrackingModel):
    """As much of a tracking model as loading initial weights looks at."""

    def __init__(self, backbone: nn.Module) -> None:
        nn.Module.__init__(self)
        self.backbone = backbone
        self.box_head = nn.Linear(WIDTH, 2)


Family(FamilyConfig, Holder)


def holder(style: str = "timm", **changes) -> Holder:
    torch.manual_seed(1)
    return Holder(JointViT(ViTConfig(style=style, **(SIZES | changes)), 2, 4))


def randomized(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network in eval mode with nothing at a special value."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in network.parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.2 + (0.5 if value.ndim == 1 else 0))
    return network.eval()


def image_vit(**changes) -> VisionTransformer:
    """timm's own ViT, of 4 x 4 patches."""
    sizes = {"img_size": 4 * PATCH, "patch_size": PATCH, "embed_dim": WIDTH, "depth": DEPTH, "num_heads": HEADS}
    return randomized(VisionTransformer(**(sizes | {"num_classes": 3} | changes)))


def saved(folder: Path, content: object, name: str = "weights.pth") -> str:
    torch.save(content, folder / name)
    return name


def taken_by(model: TrackingModel, weights: dict[str, Tensor], folder: Path) -> TrackingModel:
    load_initial(model, saved(folder, weights), folder)
    return model


def equal_blocks(model: TrackingModel, network: VisionTransformer) -> bool:
    theirs = network.state_dict()
    return all(
        torch.equal(value, theirs[name]) for name, value in model.backbone.blocks.state_dict(prefix="blocks.").items()
    )


# The same function


def test_timms_own_vit_gives_the_same_tokens_in_a_joint_backbone(tmp_path):
    """At equal grids, with an empty template, and the class token out of the way: timm's sequence without it."""
    network, images = (
        image_vit(class_token=False, no_embed_class=True, global_pool="avg", fc_norm=False),
        torch.randn(2, 3, 32, 32),
    )
    model = taken_by(holder(), network.state_dict(), tmp_path).eval()
    tokens = model.backbone.embed(torch.zeros(2, 0, WIDTH), images)
    for block in model.backbone.blocks:
        tokens = block(tokens)
    torch.testing.assert_close(model.backbone.norm(tokens), network.forward_features(images), atol=2e-5, rtol=1e-5)


@pytest.fixture
def small_images(monkeypatch):
    """Position tables of 4 x 4 instead of 14 x 14 in networks that keep an image's."""
    monkeypatch.setattr("lib.models.backbones.image.IMAGE_SIZE", 4 * PATCH)


def test_timms_own_vit_gives_the_same_tokens_in_a_siamese_backbone(tmp_path, small_images):
    network, images = image_vit(), torch.randn(2, 3, 32, 32)
    model = taken_by(Holder(SiameseViT(ViTConfig(**SIZES))).eval(), network.state_dict(), tmp_path)
    torch.testing.assert_close(model.backbone(images), network.forward_features(images)[:, 1:], atol=2e-5, rtol=1e-5)


class QuickGELU(nn.Module):
    def forward(self, value: Tensor) -> Tensor:
        return value * torch.sigmoid(1.702 * value)


class ClipBlock(nn.Module):
    """CLIP's block with torch's own attention, under its names."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(WIDTH, HEADS)
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(WIDTH, 4 * WIDTH))
        self.mlp.add_module("gelu", QuickGELU())
        self.mlp.add_module("c_proj", nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.ln_1(tokens)
        tokens = tokens + self.attn(normed, normed, normed, need_weights=False)[0]
        return tokens + self.mlp(self.ln_2(tokens))


class ClipVision(nn.Module):
    """CLIP's image network under its names; all tokens normed, as SimTrack does."""

    def __init__(self, grid: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(WIDTH))
        self.positional_embedding = nn.Parameter(torch.zeros(1 + grid**2, WIDTH))
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.Sequential(*(ClipBlock() for _ in range(DEPTH)))
        self.proj = nn.Parameter(torch.zeros(WIDTH, 7))

    def forward(self, images: Tensor) -> Tensor:
        patches = self.conv1(images).flatten(2).transpose(1, 2)
        class_token = self.class_embedding.expand(len(images), 1, -1)
        tokens = self.ln_pre(torch.cat([class_token, patches], dim=1) + self.positional_embedding)
        return self.ln_post(self.transformer.resblocks(tokens.transpose(0, 1)).transpose(0, 1))


class Clip(nn.Module):
    """CLIP with the beginnings of a text network, whose names resemble the image network's."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = ClipVision()
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.Sequential(ClipBlock())
        self.positional_embedding = nn.Parameter(torch.zeros(5, WIDTH))
        self.logit_scale = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        return self.visual(images)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("form", ["TorchScript", "state dict", "image network alone"])
def test_clip_gives_the_same_tokens(tmp_path, form, small_images):
    network, images = randomized(Clip()), torch.randn(2, 3, 32, 32)
    if form == "TorchScript":
        torch.jit.trace(network, images, check_trace=False).save(tmp_path / "clip.pt")
    else:
        saved(tmp_path, network.state_dict() if form == "state dict" else network.visual.state_dict(), "clip.pt")
    model = Holder(SiameseViT(ViTConfig(style="clip", **SIZES))).eval()
    report = load_initial(model, "clip.pt", tmp_path)
    torch.testing.assert_close(model.backbone(images), network(images)[:, 1:], atol=2e-5, rtol=1e-5)
    assert set(report.fresh) == {"box_head.weight", "box_head.bias"}
    text = {name for name in network.state_dict() if not name.startswith("visual.")}
    assert set(report.dropped) == (set() if form == "image network alone" else text)


def test_clip_gives_the_same_tokens_in_simtracks_backbone(tmp_path, small_images):
    """Without foveal window and with a template that the search tokens do not see, the search side is CLIP."""
    network, images = randomized(ClipVision()), torch.randn(2, 3, 32, 32)
    config = SerialViTConfig(**SIZES, foveal=0, exemplar_position="image", interact_every=2)
    model = Holder(SerialViT(config, 16, 32)).eval()
    load_initial(model, saved(tmp_path, network.state_dict()), tmp_path)
    model.backbone.interacts = [False, False]
    search, _ = model.backbone(model.backbone.encode_template(torch.randn(2, 3, 16, 16), torch.zeros(2, 4)), images)
    torch.testing.assert_close(search, network(images)[:, 1:], atol=2e-5, rtol=1e-5)


def test_half_precision_becomes_single(tmp_path):
    network = randomized(ClipVision(grid=3)).half()
    model = taken_by(holder("clip"), network.state_dict(), tmp_path)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    ours, theirs = model.backbone.blocks[0].attn.qkv.weight, network.transformer.resblocks[0].attn.in_proj_weight
    assert torch.equal(ours, theirs.float())


@pytest.mark.parametrize("registers", [0, 4])
def test_dinov2_without_its_factors_is_the_same_function(registers, tmp_path, small_images):
    network, images = (
        image_vit(init_values=1.0, reg_tokens=registers, no_embed_class=bool(registers)),
        torch.randn(2, 3, 32, 32),
    )
    weights = network.state_dict() | {"mask_token": torch.zeros(1, WIDTH)}
    assert weights["blocks.0.ls1.gamma"].std() > 0.1
    plain = image_vit(reg_tokens=registers, no_embed_class=bool(registers))
    plain.load_state_dict({name: value for name, value in without_layer_scale(weights).items() if name != "mask_token"})
    torch.testing.assert_close(plain(images), network(images), atol=1e-5, rtol=1e-5)
    model = Holder(SiameseViT(ViTConfig(**SIZES))).eval()
    report = load_initial(model, saved(tmp_path, weights), tmp_path)
    assert {"mask_token", "head.weight"} < set(report.dropped)
    assert ("reg_token" in report.dropped) == bool(registers)
    if not registers:
        expected = network.forward_features(images)[:, 1:]
        torch.testing.assert_close(model.backbone(images), expected, atol=2e-5, rtol=1e-5)


def test_a_class_token_that_holds_its_position_gets_one_of_zero(small_images, tmp_path):
    """timm's networks with registers: the class token comes as it goes into the first block."""
    network, images = image_vit(no_embed_class=True), torch.randn(2, 3, 32, 32)
    assert network.pos_embed.shape == (1, 16, WIDTH)
    model = taken_by(Holder(SiameseViT(ViTConfig(**SIZES))).eval(), network.state_dict(), tmp_path)
    torch.testing.assert_close(model.backbone(images), network.forward_features(images)[:, 1:], atol=2e-5, rtol=1e-5)


def test_position_tables_get_one_row_before_the_patches():
    patches, first, second = torch.randn(1, 9, 4), torch.randn(1, 1, 4), torch.randn(1, 1, 4)
    whole = torch.cat([first, patches], dim=1)
    assert torch.equal(one_class_position(whole), whole)
    assert torch.equal(one_class_position(torch.cat([first, second, patches], dim=1)), whole)
    assert torch.equal(one_class_position(patches), torch.cat([torch.zeros(1, 1, 4), patches], dim=1))


# Names of the sources


@pytest.mark.parametrize(
    "wrap",
    [
        lambda own: {"model": own},
        lambda own: own,
        lambda own: {"model": own | {"decoder_blocks.0.norm1.weight": torch.ones(2), "mask_token": torch.ones(1)}},
        lambda own: {"state_dict": {f"module.base_encoder.{name}": value for name, value in own.items()}
                     | {f"module.momentum_encoder.{name}": value + 1 for name, value in own.items()}
                     | {"module.predictor.0.weight": torch.ones(3)}},
        lambda own: {"state_dict": {f"momentum_encoder.{name}": value for name, value in own.items()}},
        lambda own: {"state_dict": {f"module.visual.{name}": value for name, value in own.items()}
                     | {"module.transformer.resblocks.0.ln_1.weight": torch.ones(3)}},
    ],
    ids=["MAE, DeiT", "bare", "MAE, whole", "MoCo v3", "MoCo v3, second encoder", "SLIP"],
)  # fmt: skip
def test_every_source_fills_the_same_backbone(tmp_path, wrap):
    network = image_vit()
    content = wrap(dict(network.state_dict()))
    model = holder()
    report = load_initial(model, saved(tmp_path, content), tmp_path)
    assert equal_blocks(model, network)
    stored = content.get("model") or content.get("state_dict") or content
    backbone = [name for name in report.taken if "pos_embed" not in name]
    assert len(backbone) + len(report.dropped) + 1 == len(stored), "every tensor is taken, dropped, or positions"
    assert report.fresh == ("box_head.weight", "box_head.bias")
    assert re.match(rf"{len(report.taken)} tensors taken; {len(report.dropped)} not used \(", str(report))


def test_the_image_network_of_a_file_is_found_among_the_rest():
    inside, outside = image_network({"visual.cls_token": torch.ones(1), "transformer.x": torch.zeros(1)})
    assert (list(inside), outside) == (["cls_token"], ["transformer.x"])
    inside, outside = image_network({"cls_token": torch.ones(1), "visual": torch.zeros(1)})
    assert (list(inside), outside) == (["cls_token", "visual"], [])


def test_an_imagenet_resnet_fills_transts_backbone(tmp_path, monkeypatch):
    model = fresh(tiny("transt"))
    own = {name: torch.randn(value.shape) for name, value in model.backbone.state_dict().items()}
    whole = own | {"fc.weight": torch.zeros(3), "layer4.0.conv1.weight": torch.zeros(3)}
    report = load_initial(model, saved(tmp_path, whole), tmp_path)
    assert report.dropped == ("fc.weight", "layer4.0.conv1.weight")
    assert all(torch.equal(value, own[name].to(value.dtype)) for name, value in model.backbone.state_dict().items())
    old = {name: value for name, value in whole.items() if not name.endswith("num_batches_tracked")}
    load_initial(model, saved(tmp_path, old), tmp_path)
    with pytest.raises(CheckpointError, match="1 missing: backbone.conv1.weight"):
        load_initial(
            model, saved(tmp_path, {name: value for name, value in own.items() if name != "conv1.weight"}), tmp_path
        )


@pytest.mark.parametrize("family", ["grm", "ostrack", "simtrack", "stark_sv"])
def test_every_vit_family_takes_an_image_vit(tmp_path, family):
    experiment = tiny(family)
    model, config = fresh(experiment), experiment.model.backbone
    clip = config.style == "clip"
    network = randomized(VisionTransformer(
        img_size=3 * config.patch, patch_size=config.patch, embed_dim=config.width, depth=config.depth + 1,
        num_heads=config.heads, mlp_ratio=config.mlp_ratio, pre_norm=clip, num_classes=0,
    ))  # fmt: skip
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = load_initial(model, saved(tmp_path, network.state_dict()), tmp_path)
    assert torch.equal(model.backbone.blocks[-1].mlp.fc2.weight, network.blocks[config.depth - 1].mlp.fc2.weight)
    kept = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    assert set(report.fresh) == kept
    assert f"blocks.{config.depth}.norm1.weight" in report.dropped
    assert not any(re.fullmatch(r"backbone\.(blocks|norm|norm_pre|patch_embed|pos_embed|cls_token)\b.*", name)
                   for name in kept if ".divide_predict." not in name)  # fmt: skip


# Resized tables


def test_a_smaller_position_table_is_resized_to_both_grids(tmp_path):
    network = image_vit(img_size=3 * PATCH)
    model = taken_by(holder(), network.state_dict(), tmp_path)
    image = network.pos_embed[:, 1:].reshape(1, 3, 3, WIDTH).permute(0, 3, 1, 2)
    for table, grid in ((model.backbone.pos_embed_z, 2), (model.backbone.pos_embed_x, 4)):
        expected = F.interpolate(image, (grid, grid), mode="bicubic", align_corners=False)
        torch.testing.assert_close(table, expected.permute(0, 2, 3, 1).reshape(1, grid**2, WIDTH))


@pytest.mark.parametrize("rows", [1 + 16 * 8, 16 * 12])
def test_a_position_table_of_an_image_that_is_no_square_is_refused(tmp_path, rows):
    weights = image_vit().state_dict() | {"pos_embed": torch.zeros(1, rows, WIDTH)}
    with pytest.raises(CheckpointError, match=f"weights.pth: its position table has {rows} rows, which are those of"):
        taken_by(holder(), weights, tmp_path)


@pytest.mark.parametrize("patch", [7, 4])
def test_weights_of_another_patch_size_give_an_enlarged_image_the_same_tokens(tmp_path, patch):
    """As DINOv2's patches of 14 pixels in patches of 16."""
    network, patches = image_vit(patch_size=patch, img_size=4 * patch), torch.randn(20, 3, patch, patch)
    model = taken_by(holder(), network.state_dict(), tmp_path)
    larger = F.interpolate(patches, (PATCH, PATCH), mode="bicubic", align_corners=False, antialias=True)
    expected = network.patch_embed.proj(patches).flatten(2).transpose(1, 2)
    torch.testing.assert_close(model.backbone.patch_embed(larger), expected, atol=2e-4, rtol=1e-4)
    assert equal_blocks(model, network)


# Libraries


@pytest.mark.parametrize("own", ["timm", "clip"])
def test_a_name_of_timms_is_asked_of_timm(tmp_path, monkeypatch, own):
    clip = {"pre_norm": True, "act_layer": "quick_gelu", "norm_layer": partial(nn.LayerNorm, eps=1e-5)}
    asked, network = [], image_vit(**(clip if own == "clip" else {}))
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: asked.append((name, pretrained)) or network)
    model = holder(own)
    report = load_initial(model, "timm:vit_base_patch16_224.mae", tmp_path)
    assert asked == [("vit_base_patch16_224.mae", True)]
    assert equal_blocks(model, network)
    assert report.dropped == ("cls_token", "head.weight", "head.bias")


def test_a_name_of_torchvisions_is_asked_of_torchvision(tmp_path, monkeypatch):
    model, asked = fresh(tiny("transt")), []
    own = {name: torch.randn(value.shape) for name, value in model.backbone.state_dict().items()}

    def download(url, **options):
        asked.append((url, options))
        return own

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    load_initial(model, "torchvision:ResNet50_Weights.IMAGENET1K_V1", tmp_path)
    assert torch.equal(model.backbone.conv1.weight, own["conv1.weight"])
    [(url, options)] = asked
    assert url == INITIAL_WEIGHTS["resnet50-0676ba61.pth"].url
    assert options["weights_only"] is True


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("timm:vit_base_patch16_224.mae", "timm.create_model"),
        ("torchvision:ResNet50_Weights.IMAGENET1K_V1", "torchvision.models._api.load_state_dict_from_url"),
    ],
)
@pytest.mark.parametrize("fault", [urllib.error.URLError("no route to host"), RuntimeError("cannot\nreach it")])
def test_without_the_network_there_is_one_clear_line(tmp_path, monkeypatch, name, place, fault):
    def offline(*_, **__):
        raise fault

    monkeypatch.setattr(place, offline)
    with pytest.raises(CheckpointError) as error:
        load_initial(holder(), name, tmp_path)
    message = str(error.value)
    assert message.startswith(f"model.pretrained: {name}: {name.partition(':')[0]} could not get these weights (")
    assert "it needs the network once" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:vit_base_patch16_224.may", r"timm has no such weights; did you mean vit_base_patch16_224.mae\?"),
        ("timm:", "timm has no such weights"),
        ("timm:qqqqqqq", "timm has no such weights; known: "),
        ("torchvision:resnet50", "torchvision has no such weights; the form is torchvision:ResNet50_Weights"),
        ("torchvision:ResNet50_Weights.V9", "torchvision has no such weights"),
        ("hub:resnet50", "hub:resnet50 does not exist; known files are mae_pretrain_vit_base.pth, "),
    ],
)
def test_names_that_no_library_has_are_found_before_the_start(tmp_path, name, message):
    with pytest.raises(CheckpointError, match=message) as error:
        check_initial(name, tmp_path)
    assert str(error.value).startswith("model.pretrained: ")


@pytest.mark.parametrize("name", ["timm:vit_base_patch14_dinov2.lvd142m", "torchvision:ResNet50_Weights.IMAGENET1K_V2"])
def test_names_that_a_library_has_are_not_asked_for_yet(tmp_path, name, monkeypatch):
    def offline(*_, **__):
        raise AssertionError

    monkeypatch.setattr(timm, "create_model", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    check_initial(name, tmp_path)


# What is refused


def test_an_absent_file_is_reported_with_its_source(tmp_path):
    for file, known in INITIAL_WEIGHTS.items():
        with pytest.raises(CheckpointError) as error:
            load_initial(holder(), file, tmp_path)
        assert str(error.value) == (
            f"model.pretrained: {tmp_path / file} does not exist; get it from {known.url} ({known.checksum}), or set "
            "model.pretrained=none for random weights"
        )


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_file_of_the_table_is_compared_with_its_checksum(tmp_path, monkeypatch, algorithm):
    name = saved(tmp_path, image_vit().state_dict(), "known.pth")
    digest = hashlib.new(algorithm, (tmp_path / name).read_bytes()).hexdigest()
    for checksum in (f"{algorithm} {digest}", f"{algorithm} {digest[:6]}..."):
        monkeypatch.setitem(INITIAL_WEIGHTS, name, InitialWeights("https://a/known.pth", checksum))
        assert f"checksum as published ({checksum.rstrip('.')})" in str(load_initial(holder(), name, tmp_path))
    changed = bytearray((tmp_path / name).read_bytes())
    changed[-1] ^= 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / name).write_bytes(changed)
    for folder, given in ((tmp_path / "other", name), (tmp_path, f"other/{name}")):
        with pytest.raises(CheckpointError, match=f"known.pth: its {algorithm} is .* should begin with {digest[:6]}:"):
            load_initial(holder(), given, folder)


@pytest.mark.parametrize("known", [True, False])
def test_a_checksum_that_nobody_publishes_is_unknown(tmp_path, monkeypatch, known):
    name = saved(tmp_path, image_vit().state_dict())
    if known:
        monkeypatch.setitem(INITIAL_WEIGHTS, name, InitialWeights("https://a/weights.pth", UNKNOWN_CHECKSUM))
    assert "checksum unknown, none is published" in str(load_initial(holder(), name, tmp_path))


def test_safetensors_and_other_homes_of_a_file(tmp_path, monkeypatch):
    weights = image_vit().state_dict()
    (tmp_path / "home").mkdir()
    save_file(weights, tmp_path / "home" / "w.safetensors")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    model = holder()
    check_initial("~/w.safetensors", tmp_path)
    load_initial(model, "~/w.safetensors", tmp_path)
    assert equal_blocks(model, image_vit())


def test_quantized_weights_are_refused(tmp_path):
    weights = {name: value.to(torch.int8) for name, value in image_vit().state_dict().items()}
    with pytest.raises(CheckpointError, match="of its weights are integers, as in a quantized network"):
        load_initial(holder(), saved(tmp_path, weights), tmp_path)


def test_the_table_for_readers_is_equal():
    page = (REPOSITORY / "pretrained_models" / "README.md").read_text(encoding="utf-8")
    rows = {row[1].strip(" `"): row for row in (line.split("|") for line in page.splitlines()) if len(row) == 7}
    for file, known in INITIAL_WEIGHTS.items():
        assert known.url in rows[file][3]
        assert known.checksum.rstrip(".") in rows[file][4].replace("`", "")
    assert {file for file in rows if "." in file} == set(INITIAL_WEIGHTS)


def test_every_experiment_starts_from_weights_that_are_known(tmp_path):
    for name in {load_experiment(file).model.pretrained for file in EXPERIMENTS.glob("[!p]*.yaml")}:
        if ":" in name:
            check_initial(name, tmp_path)
        else:
            assert name == "none" or name in INITIAL_WEIGHTS


def test_the_beginning_of_a_sum_in_a_files_name_is_the_sums():
    for file, known in INITIAL_WEIGHTS.items():
        named = re.search(r"-([0-9a-f]{8})\.pth$", file)
        if named:
            assert known.checksum.startswith(f"sha256 {named[1]}")


def test_torchvisions_own_table_has_the_same_address():
    assert torchvision.models.ResNet50_Weights.IMAGENET1K_V1.url == INITIAL_WEIGHTS["resnet50-0676ba61.pth"].url


@pytest.mark.parametrize(("own", "theirs"), [("timm", "clip"), ("clip", "timm")])
def test_weights_of_the_other_style_are_refused(tmp_path, own, theirs):
    network = image_vit(pre_norm=True) if theirs == "clip" else image_vit()
    before = holder(own).state_dict()
    model = holder(own)
    with pytest.raises(CheckpointError, match=f"weights.pth: .*set model.backbone.style={theirs}, or choose other"):
        taken_by(model, network.state_dict(), tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_openais_file_is_refused_by_a_backbone_of_timms_style(tmp_path):
    with pytest.raises(CheckpointError, match="set model.backbone.style=clip"):
        taken_by(holder(), randomized(Clip()).state_dict(), tmp_path)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"pre_norm": True, "norm_layer": partial(nn.LayerNorm, eps=1e-5)}, "GELU, a norm before"),
        ({"act_layer": "quick_gelu"}, "QuickGELU, no norm before"),
        ({"norm_layer": partial(nn.LayerNorm, eps=1e-5)}, "GELU, no norm before its blocks and eps 1e-05"),
    ],
)
def test_what_names_do_not_show_of_timms_networks_is_looked_at(tmp_path, monkeypatch, changes, found):
    """timm's vit_base_patch16_clip_224.openai computes an exact GELU, its ..._clip_quickgelu_... what CLIP did."""
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: image_vit(**changes))
    with pytest.raises(CheckpointError, match=f"a ViT with {found}.*which is neither"):
        load_initial(holder("clip"), "timm:vit_base_patch16_clip_224.openai", tmp_path)


@pytest.mark.parametrize(
    ("own", "theirs", "message"),
    [
        ({}, {"qk_norm": True}, r"our blocks have no attn\.k_norm\.bias"),
        ({}, {"depth": 1}, r"12 missing: backbone\.blocks\.1\."),
        ({"width": 32}, {}, "weights.pth: of another model .*of another shape"),
    ],
)
def test_blocks_of_another_kind_number_or_width_are_refused(tmp_path, own, theirs, message):
    with pytest.raises(CheckpointError, match=message):
        taken_by(holder(**own), image_vit(**theirs).state_dict(), tmp_path)


@pytest.mark.parametrize("family", ["grm", "lite", "simtrack", "stark_sv", "transt"])
def test_a_network_of_another_kind_is_refused(tmp_path, family):
    model = fresh(tiny(family))
    other = image_vit() if family in ("lite", "transt") else fresh(tiny("transt")).backbone
    with pytest.raises(CheckpointError, match="weights.pth: holds no image network of the backbone's kind"):
        load_initial(model, saved(tmp_path, other.state_dict()), tmp_path)


def test_files_without_weights_or_damaged_are_one_line(tmp_path):
    (tmp_path / "page.pth").write_text("<html>")
    with pytest.raises(CheckpointError, match="model.pretrained: page.pth: .*no checkpoint but a saved web page"):
        load_initial(holder(), "page.pth", tmp_path)
    with pytest.raises(CheckpointError, match="holds no weights"):
        load_initial(holder(), saved(tmp_path, {"epoch": 3}), tmp_path)


def test_settings_that_came_with_a_file_are_not_executed(tmp_path):
    """SLIP's files hold the arguments of the command that trained them."""

    class Harmful:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    network = image_vit()
    content = {"args": Harmful(), "state_dict": {f"module.visual.{k}": v for k, v in network.state_dict().items()}}
    model = taken_by(holder(), content, tmp_path)
    assert equal_blocks(model, network)
    assert not (tmp_path / "executed").exists()
    torch.load(tmp_path / "weights.pth", weights_only=False)
    assert (tmp_path / "executed").exists(), "the file was harmless, so this proves nothing"
