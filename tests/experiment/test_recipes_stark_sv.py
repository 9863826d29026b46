"""STARK-SV's experiments hold the published values, and each is trained as the Sim model it is compared with."""

import pytest

from lib.data.pairs import SourceConfig
from lib.experiment.config import load_experiment
from lib.models.stark_sv import StarkSV, TransformerConfig
from lib.profiling.cost import count_cost

PAPER = ["stark_sv_b32", "stark_sv_b16", "stark_sv_l14"]


@pytest.mark.parametrize("name", PAPER)
def test_what_all_recipes_share(name):
    experiment = load_experiment(name)
    backbone = experiment.model.backbone
    assert (backbone.style, backbone.mlp_ratio, backbone.drop_path) == ("clip", 4.0, 0.0)
    assert experiment.model.transformer == TransformerConfig(
        width=256, heads=8, ffn=2048, encoder=6, decoder=6, dropout=0.1
    )
    assert (experiment.model.head.kind, experiment.model.head.channels) == ("corner", 256)
    train = experiment.train
    assert (train.epochs, train.schedule.kind, train.schedule.drop_epoch, train.schedule.factor) == (
        500,
        "step",
        400,
        0.1,
    )
    assert (train.global_batch, train.group_batch, train.clip_norm, train.precision) == (256, 32, 0.1, "fp32")
    optimizer = train.optimizer
    assert (optimizer.lr, optimizer.weight_decay, optimizer.lr_factors) == (1e-4, 1e-4, {"backbone": 0.1})
    assert (experiment.objective.giou, experiment.objective.l1) == (2.0, 5.0)
    data = experiment.data
    assert (data.samples_per_epoch, data.pairing, data.max_gap, data.grayscale) == (60000, "causal", 200, 0.05)
    assert (data.joint_flip, data.flip, data.brightness) == (0.5, 0.5, 0.2)
    assert (data.template_jitter.center, data.template_jitter.scale) == (0.0, 0.0)
    four = [("lasot", "train"), ("got10k", "vot_train"), ("coco", "train2017"), ("trackingnet", "train")]
    assert data.train == tuple(SourceConfig(name=dataset, split=split) for dataset, split in four)
    for crop in (experiment.template, experiment.search):
        assert (crop.context, crop.fill) == ("area", "zero")
    tracker = experiment.test.tracker
    assert (tracker.window, tracker.clip, tracker.clip_margin) == ("none", "margin", 10)


@pytest.mark.parametrize(("name", "pretrained", "vit", "template", "search", "jitter"), [
    ("stark_sv_b32", "ViT-B-32.pt", (768, 12, 12, 32), (128, 2.0), (320, 5.0), 4.5),
    ("stark_sv_b16", "ViT-B-16.pt", (768, 12, 12, 16), (112, 2.0), (224, 4.0), 3.5),
    ("stark_sv_l14", "ViT-L-14.pt", (1024, 24, 16, 14), (84, 1.5), (224, 4.0), 3.5),
])  # fmt: skip
def test_sizes(name, pretrained, vit, template, search, jitter):
    experiment = load_experiment(name)
    backbone = experiment.model.backbone
    assert experiment.model.pretrained == pretrained
    assert (backbone.width, backbone.depth, backbone.heads, backbone.patch) == vit
    assert (experiment.template.size, experiment.template.factor) == template
    assert (experiment.search.size, experiment.search.factor) == search
    assert (experiment.data.search_jitter.center, experiment.data.search_jitter.scale) == (jitter, 0.5)


@pytest.mark.parametrize("name", PAPER)
def test_it_is_trained_as_the_sim_model_that_it_is_compared_with(name):
    ours, theirs = load_experiment(name), load_experiment(name.replace("stark_sv", "simtrack"))
    for section in ("template", "search", "data", "objective", "train"):
        assert getattr(ours, section) == getattr(theirs, section), section
    assert ours.model.pretrained == theirs.model.pretrained
    for key, value in ours.model.backbone:
        assert getattr(theirs.model.backbone, key) == value, key


@pytest.mark.slow
@pytest.mark.parametrize(("name", "billions", "deviation"), [
    ("stark_sv_b16", 25.6, 0.1),
    # Our count is 12 % below the paper's figure for B/32; why is not known.
    ("stark_sv_b32", 13.3, 0.15),
])  # fmt: skip
def test_multiply_adds_are_near_the_published_ones(name, billions, deviation):
    """SimTrack's Tables 1 and 4, whose figures for one network differ by 7 % themselves."""
    experiment = load_experiment(name)
    sizes = (experiment.template.size, experiment.search.size)
    cost = count_cost(lambda: StarkSV(experiment.model, *sizes), *sizes)
    assert abs(cost.both.total / 1e9 / billions - 1) < deviation
    assert cost.template.total < cost.both.total / 4  # saved in every frame but the first


def test_the_tiny_twin_has_every_path_of_the_large_network_and_sees_the_data_of_the_other_twins():
    twin, large, grm = load_experiment("stark_tiny"), load_experiment("stark_sv_b16"), load_experiment("grm_tiny")
    assert (twin.model.backbone.style, twin.model.head.kind) == ("clip", "corner")
    assert twin.model.transformer.dropout == large.model.transformer.dropout
    assert min(twin.model.transformer.encoder, twin.model.transformer.decoder) > 1
    assert twin.test == large.test
    for section in ("seed", "search", "data"):
        assert getattr(twin, section) == getattr(grm, section), section


@pytest.mark.parametrize("name", [*PAPER, "stark_tiny"])
def test_a_target_is_as_large_in_the_template_as_in_the_search_region(name):
    experiment = load_experiment(name)
    assert experiment.template.size / experiment.template.factor == experiment.search.size / experiment.search.factor
