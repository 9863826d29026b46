"""TransT's experiments hold the published recipe, the ablations of its paper, and the differences in its files."""

import re

import pytest
import torch

from lib.config.schema import ConfigError
from lib.data.pairs import SourceConfig
from lib.experiment.config import EXPERIMENTS, load_experiment, to_tree
from lib.models.registry import FAMILIES

# (layers, kind, ego context, cross feature, parameters in millions)
FUSIONS = {
    "transt": (4, "feature", True, True, 23.0),
    "transt_n2": (2, "feature", True, True, 16.7),
    "transt_got10k": (4, "feature", True, True, 23.0),
    "transt_ori": (6, "transformer", True, True, 26.4),
    "transt_no_eca": (4, "feature", False, True, 20.9),
    "transt_no_cfa": (4, "feature", True, False, 19.6),
    "transt_corr": (4, "feature", False, False, 17.5),
}
# With and without the window penalty, LaSOT's AUC in the paper's Tables 2 and 3.
PENALTY = {
    "transt": (64.9, 62.9),
    "transt_ori": (62.3, 60.9),
    "transt_no_eca": (62.9, 61.0),
    "transt_no_cfa": (57.7, 57.3),
    "transt_corr": (47.7, 35.3),
}


@pytest.mark.parametrize("name", FUSIONS)
def test_what_all_published_recipes_share(name):
    experiment = load_experiment(name)
    template, search, data, train = experiment.template, experiment.search, experiment.data, experiment.train
    assert (template.size, template.factor, search.size, search.factor) == (128, 2.0, 256, 4.0)
    assert {(crop.context, crop.fill) for crop in (template, search)} == {("perimeter", "mean")}
    assert (data.pairing, data.max_gap, data.samples_per_epoch) == ("interval", 100, 38 * 1000)
    assert (data.search_jitter.center, data.search_jitter.scale) == (3.0, 0.25)
    assert (data.template_jitter.center, data.template_jitter.scale) == (0.0, 0.0)
    assert (data.grayscale, data.joint_flip, data.flip, data.brightness) == (0.05, 0.0, 0.0, 0.2)
    assert data.val == ()
    assert (train.global_batch, train.group_batch, train.clip_norm, train.precision) == (38, 38, None, "fp32")
    assert (train.optimizer.weight_decay, train.optimizer.lr_factors) == (1e-4, {"backbone": 0.1})
    assert (train.schedule.kind, train.schedule.factor, train.schedule.warmup) == ("step", 0.1, 0.0)
    objective = experiment.objective
    assert (objective.classification, objective.background, objective.giou, objective.l1) == (8.334, 1 / 16, 2, 5)
    tracker = experiment.test.tracker
    assert (tracker.window, tracker.penalty, tracker.clip, tracker.clip_margin) == ("blend", 0.49, "center", 10)
    assert experiment.test.per_dataset == {}
    assert experiment.model.pretrained == "resnet50-0676ba61.pth"


@pytest.mark.parametrize(("name", "fusion"), FUSIONS.items())
def test_the_network_of_each_and_its_number_of_parameters(name, fusion):
    experiment = load_experiment(name)
    layers, kind, ego_context, cross_feature, millions = fusion
    ours = experiment.model.fusion
    assert (ours.layers, ours.kind, ours.ego_context, ours.cross_feature) == (layers, kind, ego_context, cross_feature)
    assert (ours.width, ours.heads, ours.hidden, ours.dropout) == (256, 8, 2048, 0.1)
    assert (experiment.model.backbone.width, experiment.model.backbone.blocks) == (64, (3, 4, 6))
    assert (experiment.model.head.kind, experiment.model.head.channels) == ("mlp", 256)
    with torch.device("meta"):
        model = FAMILIES["transt"].network(experiment.model, experiment.template.size, experiment.search.size)
    count = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    assert f"{count:.1f}" == f"{millions:.1f}"


@pytest.mark.parametrize("name", FUSIONS)
def test_epochs_rates_and_data(name):
    experiment = load_experiment(name)
    alone = name == "transt_got10k"
    train = experiment.train
    assert (train.epochs, train.schedule.drop_epoch) == ((500, 250) if alone else (1000, 500))
    assert train.optimizer.lr == (2e-4 if alone else 1e-4)
    four = [("lasot", "train"), ("got10k", "vot_train"), ("coco", "train2014"), ("trackingnet", "train_0-3")]
    wanted = [("got10k", "full")] if alone else four
    assert experiment.data.train == tuple(SourceConfig(name=source, split=split) for source, split in wanted)


@pytest.mark.parametrize(("name", "scores"), PENALTY.items())
def test_each_row_of_the_papers_ablations_also_runs_without_the_window_penalty(name, scores):
    experiment, plain = load_experiment(name), load_experiment(name, ["test.tracker.window=none"])
    tree, changed = to_tree(experiment), to_tree(plain)
    assert changed["test"]["tracker"].pop("window") == "none"
    assert tree["test"]["tracker"].pop("window") == "blend"
    assert changed == tree
    text = re.sub(r"\n# ?", " ", (EXPERIMENTS / f"{name}.yaml").read_text(encoding="utf-8"))
    assert f"Expected (published): LaSOT AUC {scores[0]}" in text
    assert re.search(rf"test\.tracker\.window=none\W+LaSOT AUC {scores[1]}", text)


def test_a_crop_must_be_a_multiple_of_the_stride():
    with pytest.raises(
        ConfigError, match="search.size: 250 is not a multiple of model.backbone's stride 8; .* 248 and 256"
    ):
        load_experiment("transt", ["search.size=250"])


def test_the_tiny_network_has_every_path_of_the_large_one_and_trains_from_nothing():
    tiny, large = load_experiment("transt_tiny"), load_experiment("transt")
    assert tiny.model.pretrained == "none"
    assert tiny.train.optimizer.lr_factors == {}
    assert min(tiny.model.backbone.blocks[2], tiny.model.fusion.layers) >= 2
    shared = {"kind", "ego_context", "cross_feature"}
    assert tiny.model.fusion.model_dump(include=shared) == large.model.fusion.model_dump(include=shared)
    assert tiny.model.head.kind == large.model.head.kind
    assert tiny.test == large.test
    for crop in ("template", "search"):
        assert getattr(tiny, crop).context == getattr(large, crop).context
        assert getattr(tiny, crop).fill == getattr(large, crop).fill
    for key in ("pairing", "max_gap", "grayscale", "joint_flip", "flip", "brightness"):
        assert getattr(tiny.data, key) == getattr(large.data, key)
    assert tiny.train.clip_norm is None
