"""What the recipes of OSTrack's lineage share: those of OSTrack, GRM, SimTrack and STARK-SV."""

import pytest

from lib.experiment.config import load_experiment
from lib.profiling.models import experiment_names

LINEAGE = [
    name
    for name in experiment_names()
    if load_experiment(name).model.name in ("ostrack", "grm", "simtrack", "stark_sv") and not name.endswith("_tiny")
]


@pytest.mark.parametrize("name", LINEAGE)
def test_the_lineage_shares_its_values(name):
    experiment = load_experiment(name)
    train, data, tracker = experiment.train, experiment.data, experiment.test.tracker
    assert (train.optimizer.weight_decay, train.optimizer.lr_factors) == (1e-4, {"backbone": 0.1})
    assert (train.schedule.kind, train.schedule.factor, train.schedule.warmup) == ("step", 0.1, 0.0)
    assert (train.clip_norm, train.precision) == (0.1, "fp32")
    assert (experiment.objective.giou, experiment.objective.l1) == (2.0, 5.0)
    assert (data.samples_per_epoch, data.pairing, data.max_gap, data.grayscale) == (60000, "causal", 200, 0.05)
    assert (data.joint_flip, data.flip, data.brightness) == (0.5, 0.5, 0.2)
    assert (data.template_jitter.center, data.template_jitter.scale) == (0.0, 0.0)
    assert {(crop.context, crop.fill) for crop in (experiment.template, experiment.search)} == {("area", "zero")}
    assert (tracker.clip, tracker.clip_margin) == ("margin", 10)
