"""OSTrack's experiments hold the published values: recipes, sizes, schedules of elimination, parameters, costs."""

import math

import pytest
import torch
from reference_weights import key_table
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from lib.data.pairs import SourceConfig
from lib.experiment.config import ExperimentConfig, load_experiment
from lib.models.ostrack import EliminationConfig, KeepScheduleConfig, OSTrack, keep_rate

FOUR_SETS = ["ostrack_vitb_256", "ostrack_vitb_256_ce", "ostrack_vitb_384", "ostrack_vitb_384_ce"]
GOT10K = ["ostrack_vitb_256_got10k", "ostrack_vitb_256_ce_got10k", "ostrack_vitb_384_ce_got10k"]
PAPER = [*FOUR_SETS, *GOT10K]


def build_without_memory(experiment: ExperimentConfig) -> OSTrack:
    with torch.device("meta"):
        return OSTrack(experiment.model, experiment.template.size, experiment.search.size).eval()


@pytest.mark.parametrize("name", PAPER)
def test_what_all_published_recipes_share(name):
    experiment = load_experiment(name)
    backbone = experiment.model.backbone
    assert (backbone.style, backbone.width, backbone.depth, backbone.heads) == ("timm", 768, 12, 12)
    assert (backbone.patch, backbone.mlp_ratio, backbone.drop_path) == (16, 4.0, 0.1)
    assert (experiment.model.head.kind, experiment.model.head.channels) == ("center", 256)
    assert experiment.model.pretrained == "mae_pretrain_vit_base.pth"
    train = experiment.train
    assert (train.global_batch, train.group_batch, train.clip_norm, train.precision) == (128, 32, 0.1, "fp32")
    optimizer = train.optimizer
    assert (optimizer.lr, optimizer.weight_decay, optimizer.lr_factors) == (4e-4, 1e-4, {"backbone": 0.1})
    assert (train.schedule.kind, train.schedule.factor, train.schedule.warmup) == ("step", 0.1, 0.0)
    assert train.validate_every == 20
    assert (experiment.objective.giou, experiment.objective.l1, experiment.objective.focal) == (2.0, 5.0, 1.0)
    data = experiment.data
    assert (data.samples_per_epoch, data.val_samples) == (60000, 10000)
    assert (data.pairing, data.max_gap, data.grayscale) == ("causal", 200, 0.05)
    assert (data.joint_flip, data.flip, data.brightness) == (0.5, 0.5, 0.2)
    assert (data.template_jitter.center, data.template_jitter.scale) == (0.0, 0.0)
    for crop in (experiment.template, experiment.search):
        assert (crop.context, crop.fill) == ("area", "zero")
    tracker = experiment.test.tracker
    assert (tracker.window, tracker.clip, tracker.clip_margin) == ("multiply", "margin", 10)
    assert experiment.test.per_dataset == {}


@pytest.mark.parametrize("name", PAPER)
def test_crops(name):
    experiment = load_experiment(name)
    crops = (experiment.template.size, experiment.template.factor, experiment.search.size, experiment.search.factor)
    jitter = (experiment.data.search_jitter.center, experiment.data.search_jitter.scale)
    if "_384" in name:
        assert (crops, jitter) == ((192, 2.0, 384, 5.0), (4.5, 0.5))
    else:
        assert (crops, jitter) == ((128, 2.0, 256, 4.0), (3.0, 0.25))


@pytest.mark.parametrize("name", PAPER)
def test_epochs_and_data(name):
    """TrackingNet with all its frames: taking one in 30 is GRM's rule."""
    experiment = load_experiment(name)
    four = [("lasot", "train"), ("got10k", "vot_train"), ("coco", "train2017"), ("trackingnet", "train")]
    alone = name in GOT10K
    assert (experiment.train.epochs, experiment.train.schedule.drop_epoch) == ((100, 80) if alone else (300, 240))
    wanted = [("got10k", "full")] if alone else four
    assert experiment.data.train == tuple(
        SourceConfig(name=dataset, split=split, weight=1.0, annotated_every=1) for dataset, split in wanted
    )
    assert experiment.data.val == (SourceConfig(name="got10k", split="official_val" if alone else "vot_val"),)


@pytest.mark.parametrize("name", PAPER)
def test_elimination(name):
    elimination = load_experiment(name).model.elimination
    if "_ce" not in name:
        assert elimination is None
        return
    schedule = KeepScheduleConfig(start=20, length=50 if name in GOT10K else 80)
    assert elimination == EliminationConfig(blocks=(3, 6, 9), keep=0.7, template="center_point", schedule=schedule)


@pytest.mark.parametrize("name", [*PAPER, "ostrack_tiny"])
def test_the_keep_rate_begins_at_one_and_comes_to_its_end_within_the_training(name):
    experiment = load_experiment(name)
    if experiment.model.elimination is not None:
        rates = [keep_rate(experiment.model.elimination, epoch) for epoch in range(experiment.train.epochs)]
        assert rates[0] == 1.0
        assert rates[-1] == experiment.model.elimination.keep
        assert any(experiment.model.elimination.keep < rate < 1 for rate in rates)


def test_the_tiny_twin_is_that_of_grm_with_elimination_in_its_place():
    ours, grm = load_experiment("ostrack_tiny"), load_experiment("grm_tiny")
    assert (ours.model.backbone, ours.model.head) == (grm.model.backbone, grm.model.head)
    for section in ("seed", "template", "search", "data", "objective", "train", "test"):
        assert getattr(ours, section) == getattr(grm, section)
    elimination = ours.model.elimination
    assert len(elimination.blocks) == 3
    assert (elimination.keep, elimination.template) == (0.7, "center_point")


# Figures


@pytest.mark.parametrize(("name", "table", "millions"), [
    ("ostrack_vitb_256", "ostrack_vitb_256", "92.5"),
    ("ostrack_vitb_256_ce", "ostrack_vitb_256_ce", "92.5"),
    ("ostrack_vitb_384_ce", "ostrack_vitb_384_ce", "92.8"),
])  # fmt: skip
def test_the_network_is_the_published_one_but_for_what_it_does_not_use(name, table, millions):
    published = {key: tuple(entry["shape"]) for key, entry in key_table(table).items()}
    model = build_without_memory(load_experiment(name))
    unused = {key: published.pop(key) for key in ("backbone.cls_token", "backbone.pos_embed")}
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == published
    count = sum(parameter.numel() for parameter in model.parameters()) + sum(map(math.prod, unused.values()))
    assert f"{count / 1e6:.1f}" == millions


@pytest.mark.slow
@pytest.mark.parametrize(("name", "billions"), [
    ("ostrack_vitb_256", "29.0"),
    ("ostrack_vitb_256_ce", "21.5"),
    ("ostrack_vitb_384", "65.3"),
    ("ostrack_vitb_384_ce", "48.3"),
])  # fmt: skip
def test_multiply_adds_are_the_published_ones(name, billions):
    """The paper's Table 3, whose counter sees layers: convolutions and linear layers, no products inside attention."""
    experiment = load_experiment(name)
    with FakeTensorMode(), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model = OSTrack(experiment.model, experiment.template.size, experiment.search.size).eval()
        template, search = (
            torch.empty(1, 3, crop.size, crop.size) for crop in (experiment.template, experiment.search)
        )
        model(template, torch.empty(1, 4), search)
    operations = counter.get_flop_counts()["Global"]
    layers = sum(flops for name, flops in operations.items() if str(name) in ("aten.convolution", "aten.addmm"))
    assert f"{layers / 2e9:.1f}" == billions
