"""Training from crop stores: which are opened, what they must have been made for, and what to do where one is not."""

import pytest
import torch
from toy_experiment import write_experiment

from lib.config.paths import Paths
from lib.data.augment import JitterConfig, Role
from lib.data.stores.cropping import write_crops
from lib.experiment.build import build_pairs, crop_settings
from lib.experiment.config import ExperimentConfig, load_experiment


@pytest.fixture
def toy(tmp_path) -> ExperimentConfig:
    return load_experiment(write_experiment(tmp_path / "toy.yaml", data={"store": "crops"}))


@pytest.fixture
def paths(tmp_path, toy_got10k) -> Paths:
    return Paths(
        data={"got10k": toy_got10k}, crops={"got10k": tmp_path / "crops"}, output=tmp_path, cache=tmp_path / "cache"
    )


def make_crops(experiment: ExperimentConfig, paths: Paths, **changes) -> None:
    source = experiment.data.train[0]
    settings = crop_settings(experiment, source).model_copy(update=changes)
    write_crops("got10k", source.split, paths.data["got10k"], paths.cache, paths.crops["got10k"], settings)


def test_what_is_stored_is_what_the_experiment_takes():
    experiment = load_experiment("grm_vitb")
    settings = crop_settings(experiment, experiment.data.train[0].model_copy(update={"annotated_every": 30}))
    assert settings.template == Role(crop=experiment.template, jitter=JitterConfig())
    assert settings.search == Role(crop=experiment.search, jitter=JitterConfig(center=3.0, scale=0.25))
    assert settings.every == 30


@pytest.mark.slow
def test_training_takes_crops_and_validation_frames_where_there_are_no_crops(toy, paths):
    make_crops(toy, paths)
    plain = toy.model_copy(update={"data": toy.data.model_copy(update={"store": "frames"})})
    for sources, stored in ((toy.data.train, True), (toy.data.val, False)):
        crops, frames = build_pairs(toy, paths, sources), build_pairs(plain, paths, sources)
        for number in range(4):
            sample, exact = crops.sample(number), frames.sample(number)
            assert sample.missed == 0 and sample.sources == exact.sources
            assert torch.equal(sample.search_box, exact.search_box)
            assert torch.equal(sample.search, exact.search) != stored


def test_crops_of_what_validates_are_taken_if_they_are_there(toy, paths):
    val = toy.data.val[0]
    write_crops("got10k", val.split, paths.data["got10k"], paths.cache, paths.crops["got10k"], crop_settings(toy, val))
    crops = build_pairs(toy, paths, toy.data.val)
    plain = toy.model_copy(update={"data": toy.data.model_copy(update={"store": "frames"})})
    assert not torch.equal(crops.sample(0).search, build_pairs(plain, paths, toy.data.val).sample(0).search)


def test_without_a_store_that_fits_the_command_is_named(toy, paths):
    folder = paths.crops["got10k"]
    command = f"python tracking/prepare_data.py crops got10k --split full --out {folder} --config EXPERIMENT .the one"
    with pytest.raises(ValueError, match=f"^{folder / 'full'}: no complete crop store of got10k full; .*: {command}"):
        build_pairs(toy, paths, toy.data.train)
    make_crops(toy, paths, every=3)
    with pytest.raises(ValueError, match=f"^{folder / 'full'}: holds one frame in 3, .*: {command}"):
        build_pairs(toy, paths, toy.data.train)
