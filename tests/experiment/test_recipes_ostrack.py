"""OSTrack's experiments hold the published values: recipes, sizes, schedules of elimination."""

import pytest

from lib.data.pairs import SourceConfig
from lib.experiment.config import load_experiment
from lib.models.ostrack import EliminationConfig, KeepScheduleConfig, keep_rate

FOUR_SETS = ["ostrack_vitb_256", "ostrack_vitb_256_ce", "ostrack_vitb_384", "ostrack_vitb_384_ce"]
GOT10K = ["ostrack_vitb_256_got10k", "ostrack_vitb_256_ce_got10k", "ostrack_vitb_384_ce_got10k"]
PAPER = [*FOUR_SETS, *GOT10K]


@pytest.mark.parametrize("name", PAPER)
def test_what_all_published_recipes_share(name):
    experiment = load_experiment(name)
    backbone = experiment.model.backbone
    assert (backbone.style, backbone.width, backbone.depth, backbone.heads) == ("timm", 768, 12, 12)
    assert (backbone.patch, backbone.mlp_ratio, backbone.drop_path) == (16, 4.0, 0.1)
    assert (experiment.model.head.kind, experiment.model.head.channels) == ("center", 256)
    assert experiment.model.pretrained == "mae_pretrain_vit_base.pth"
    train = experiment.train
    assert (train.global_batch, train.group_batch, train.optimizer.lr) == (128, 32, 4e-4)
    assert (train.validate_every, experiment.data.val_samples) == (20, 10000)
    assert (experiment.objective.focal, experiment.test.tracker.window) == (1.0, "multiply")
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
