"""Which crop stores an experiment asks for."""

from pathlib import Path

import pytest
from toy_experiment import write_experiment

from lib.config.paths import Paths
from lib.config.schema import ConfigError
from lib.experiment.build import crop_settings
from lib.experiment.config import load_experiment
from lib.programs.preparation import make_crops
from lib.runtime.program import TextResult

SOURCES = [
    {"name": "got10k", "split": "full", "annotated_every": 3},
    {"name": "got10k", "split": "vot_train"},
    {"name": "got10k", "split": "full", "annotated_every": 3, "weight": 2.0},
    {"name": "coco", "split": "train2017"},
]


@pytest.fixture
def experiment(tmp_path):
    return write_experiment(tmp_path / "toy.yaml", data={"train": SOURCES})


@pytest.fixture
def written(monkeypatch) -> list[tuple]:
    """The arguments of the calls of ``write_crops``: dataset, split and settings."""
    calls: list[tuple] = []

    def write_crops(name, split, root, cache, target, settings, processes):
        assert (root, target, processes) == (Path("root"), Path("out"), 3)
        calls.append((name, split, settings))
        return TextResult("written")

    monkeypatch.setattr("lib.data.stores.cropping.write_crops", write_crops)
    return calls


def make(experiment, name, **options) -> None:
    make_crops(name, Paths(), Path("root"), str(experiment), Path("out"), processes=3, **options)


def test_every_split_that_is_trained_on_once(experiment, written):
    make(experiment, "got10k")
    experiment = load_experiment(experiment)
    assert written == [
        ("got10k", source.split, crop_settings(experiment, source)) for source in experiment.data.train[:2]
    ]
    assert [settings.every for *_, settings in written] == [3, 1]
    assert written[0][2].search.jitter == experiment.data.search_jitter
    assert written[0][2].template.crop == experiment.template


def test_a_split_and_other_frames(experiment, written):
    make(experiment, "got10k", split="full")
    make(experiment, "got10k", split="full", every=1)
    make(experiment, "got10k", split="official_val")
    make(experiment, "lasot", split="train", every=5)
    assert [(name, split, settings.every) for name, split, settings in written] == [
        ("got10k", "full", 3),
        ("got10k", "full", 1),
        ("got10k", "official_val", 1),
        ("lasot", "train", 5),
    ]


def test_a_dataset_that_is_not_trained_on_needs_a_split(experiment, written):
    with pytest.raises(
        ConfigError, match="toy does not train on lasot but on got10k, coco; name one of them, or a split"
    ):
        make(experiment, "lasot")
    assert written == []
