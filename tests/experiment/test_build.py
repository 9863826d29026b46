"""The calls that others build on: the experiment, its network, its tracker, and what a checkpoint may hold."""

import builtins
import io
import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy_experiment import write_experiment

from lib.config.paths import Paths
from lib.config.schema import ConfigError
from lib.data.decoding.images import DECODERS, find_decoder
from lib.experiment.build import (
    TorchForm,
    build_actor,
    build_model,
    build_pairs,
    build_tracker,
    build_trainer,
    check_training_files,
    default_checkpoint,
    experiment_of_checkpoint,
    named_weights,
)
from lib.experiment.config import ExperimentConfig, load_experiment, to_tree
from lib.models.base import TrackingModel
from lib.runtime.checkpoint import CheckpointError, save_checkpoint
from lib.runtime.process import Process

ALONE = Process(0, 1, torch.device("cpu"))


@pytest.fixture
def toy(tmp_path) -> ExperimentConfig:
    per_dataset = {"lasot": {"model.division.threshold": 0.4, "test.tracker.window": "none"}}
    return load_experiment(write_experiment(tmp_path / "toy.yaml", test={"per_dataset": per_dataset}))


def equal(one: TrackingModel, other: TrackingModel) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


# Experiment and network


def test_the_network_depends_on_the_seed_alone(toy):
    torch.manual_seed(1)
    first = build_model(toy)
    torch.manual_seed(2)
    assert equal(first, build_model(toy))
    assert not equal(first, build_model(toy.model_copy(update={"seed": 8})))


def test_building_leaves_the_global_generators_and_is_in_eval_mode(toy, monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    before = torch.get_rng_state()
    model = build_model(toy)
    assert torch.equal(before, torch.get_rng_state())
    assert seeds == []
    assert not any(module.training for module in model.modules())


def test_building_reads_no_file(toy, monkeypatch):
    build_model(toy)  # what torch imports late, it has imported now

    def refuse(*arguments, **_):
        raise AssertionError(f"opened {arguments[0]}")

    pretrained = toy.model_copy(update={"model": toy.model.model_copy(update={"pretrained": "absent.pth"})})
    for module, name in ((builtins, "open"), (io, "open"), (os, "open"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)
    assert equal(build_model(pretrained), build_model(toy))


# Tracker


@pytest.fixture
def named(tmp_path, monkeypatch) -> tuple[ExperimentConfig, Paths]:
    """An experiment that names its weights, which are not those it would start from."""
    experiment = load_experiment(write_experiment(tmp_path / "toy.yaml", weights="small.pth"))
    (tmp_path / "weights").mkdir()
    paths = Paths(output=tmp_path / "output", pretrained_models=tmp_path / "weights")
    monkeypatch.setenv("TRACKING_PRETRAINED_MODELS", str(paths.pretrained_models))
    other = build_model(load_experiment(tmp_path / "toy.yaml", ["seed=8"]))
    save_checkpoint(paths.pretrained_models / "small.pth", {"model": other.state_dict()})
    return experiment, paths


def test_weights_that_an_experiment_names_are_used_where_no_checkpoint_is_named(named):
    experiment, paths = named
    file = paths.pretrained_models / "small.pth"
    assert named_weights(experiment, paths) == default_checkpoint(experiment, paths) == file
    expected = TorchForm(experiment, file).network().model
    assert equal(build_tracker(experiment).network.model, expected)
    assert not equal(TorchForm(experiment).network().model, expected)
    last = paths.output / "toy" / "checkpoints" / "last.pth"
    last.parent.mkdir(parents=True)
    last.write_bytes(b"")
    assert default_checkpoint(experiment, paths) == last, "the experiment's own run comes first"


def test_weights_that_are_not_there_are_an_error(named, toy):
    experiment, paths = named
    (paths.pretrained_models / "small.pth").unlink()
    with pytest.raises(ConfigError, match="weights: .*small.pth is not there; .* set weights=null"):
        build_tracker(experiment)
    assert named_weights(toy, paths) is None
    with pytest.raises(ConfigError, match="last.pth: no such checkpoint; train the experiment first, or name another"):
        default_checkpoint(toy, paths)


def test_the_tracker_takes_the_values_of_its_benchmark(toy):
    for dataset, threshold, window in ((None, 0.0, "multiply"), ("otb", 0.0, "multiply"), ("lasot", 0.4, "none")):
        tracker = build_tracker(toy, dataset=dataset)
        assert {block.division.threshold for block in tracker.network.model.backbone.blocks} == {threshold}
        assert tracker.network.settings.tracker.window == window
    with pytest.raises(ValueError, match=r"unknown benchmark 'lasott'; did you mean lasot\?"):
        build_tracker(toy, dataset="lasott")


def test_processes_take_the_gpus_in_turn_where_they_track(toy, monkeypatch):
    """A form travels from process to process: its device is found in the one that builds the engine."""
    asked = []
    monkeypatch.setattr("lib.experiment.build.device_in_turn", lambda device: asked.append(device) or "cpu")
    form = pickle.loads(pickle.dumps(TorchForm(toy, device="cuda")))
    assert asked == [] and form.engine(1).slots == 1 and asked == ["cuda"]


def test_an_engine_has_the_slots_that_are_needed_and_no_more_than_suit_the_network(toy, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    make, threads = TorchForm(toy, benchmark="lasot").engine, torch.get_num_threads()
    engines = [make(most) for most in (1, 500)]
    assert [engine.slots for engine in engines] == [1, 8]
    assert [engine.finders for engine in engines] == [2, 2], "the second has as many cores as the first"
    assert [TorchForm(toy, benchmark="lasot", batch=batch).engine(500).slots for batch in (1, 16)] == [1, 16]
    assert torch.get_num_threads() == 1, "each finder has a core"
    torch.set_num_threads(threads)
    network = make(1).network
    assert equal(network.model, build_tracker(toy, dataset="lasot").network.model)
    assert network.settings.tracker.window == "none"


def test_the_networks_precision_is_the_experiments(toy, tmp_path):
    bf16 = load_experiment(write_experiment(tmp_path / "bf16.yaml", test={"precision": "bf16"}))
    assert TorchForm(toy).network().precision == "fp32" and TorchForm(bf16).network().precision == "bf16"


def test_a_tracker_has_one_source(toy, tmp_path):
    for choice in ({}, {"experiment": toy, "network": tmp_path}):
        with pytest.raises(ValueError, match="name one"):
            build_tracker(**choice)


# Checkpoints


def other_weights(experiment: ExperimentConfig) -> dict[str, torch.Tensor]:
    return build_model(experiment.model_copy(update={"seed": 99})).state_dict()


def test_a_checkpoint_of_ours_gives_weights_and_experiment(toy, tmp_path):
    weights = other_weights(toy)
    save_checkpoint(tmp_path / "ours.pth", {"model": weights, "experiment": to_tree(toy)})
    tracker = build_tracker(toy, checkpoint=tmp_path / "ours.pth", device="cpu", dataset="lasot")
    assert all(torch.equal(value, weights[name]) for name, value in tracker.network.model.state_dict().items())
    assert equal(build_tracker(toy, str(tmp_path / "ours.pth")).network.model, tracker.network.model)
    assert experiment_of_checkpoint(tmp_path / "ours.pth") == toy
    changed = experiment_of_checkpoint(tmp_path / "ours.pth", ["model.division.threshold=0.5"], "run")
    assert (changed.name, changed.for_benchmark("lasot").model.division.threshold) == ("run", 0.5)


def test_a_checkpoint_may_have_no_configuration_or_one_that_is_refused(toy, tmp_path):
    save_checkpoint(tmp_path / "GRM_ep0300.pth.tar", {"net": other_weights(toy), "epoch": 300})
    with pytest.raises(CheckpointError, match="GRM_ep0300.pth.tar: holds no configuration; name it with --config"):
        experiment_of_checkpoint(tmp_path / "GRM_ep0300.pth.tar")
    torch.save({"model": other_weights(toy), "experiment": to_tree(toy) | {"seed": np.int64(3)}}, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match="odd.pth: its configuration is not of plain types"):
        experiment_of_checkpoint(tmp_path / "odd.pth")


# What training needs


def test_everything_that_is_missing_is_named_at_once(tmp_path):
    (tmp_path / "lasot").mkdir()
    paths = Paths(data={"lasot": tmp_path / "lasot"}, output=tmp_path, pretrained_models=tmp_path / "weights")
    with pytest.raises(ConfigError) as error:
        check_training_files(load_experiment("grm_vitb"), paths)
    lines = str(error.value).splitlines()
    assert len(lines) == 4, "the folder of lasot is there"
    assert lines[0].startswith("data.got10k: not set; set data.got10k in ")
    assert "TRACKING_DATA_GOT10K" in lines[0]
    for line, name in zip(lines[1:3], ("coco", "trackingnet"), strict=True):
        assert line.startswith(f"data.{name}: not set; set data.{name} in ")
    assert lines[3].startswith(f"model.pretrained: {tmp_path / 'weights' / 'mae_pretrain_vit_base.pth'} does not exist")
    assert "https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_base.pth" in lines[3]


def test_a_folder_that_is_not_there_is_named(toy, tmp_path):
    paths = Paths(data={"got10k": tmp_path / "gone"}, output=tmp_path, pretrained_models=tmp_path)
    with pytest.raises(ConfigError, match=f"^data.got10k: no such folder: {tmp_path / 'gone'}; "):
        check_training_files(toy, paths)


@pytest.mark.parametrize("name", ["timm:vit_base_patch16_224.may", "torchvision:ResNet50", "mine.pth"])
def test_initial_weights_that_nobody_has_are_named(toy, toy_got10k, tmp_path, name):
    wanted = toy.model_copy(update={"model": toy.model.model_copy(update={"pretrained": name})})
    with pytest.raises(ConfigError, match="^model.pretrained: "):
        check_training_files(wanted, Paths(data={"got10k": toy_got10k}, output=tmp_path, pretrained_models=tmp_path))


def test_nothing_is_missing_where_the_data_lie_and_no_weights_are_wanted(toy, toy_got10k, tmp_path):
    check_training_files(toy, Paths(data={"got10k": toy_got10k}, output=tmp_path, pretrained_models=tmp_path))


def changed_data(experiment: ExperimentConfig, **changes) -> ExperimentConfig:
    return experiment.model_copy(update={"data": experiment.data.model_copy(update=changes)})


def test_a_missing_decoder_and_missing_crops_are_named(toy, toy_got10k, tmp_path, monkeypatch):
    monkeypatch.setattr("lib.experiment.build.find_decoder", find_decoder.__wrapped__)
    absent = DECODERS["jpeg4py"]._replace(is_installed=lambda: False)
    monkeypatch.setitem(DECODERS, "jpeg4py", absent)
    paths = Paths(data={"got10k": toy_got10k}, output=tmp_path, pretrained_models=tmp_path)
    with pytest.raises(ConfigError) as error:
        check_training_files(changed_data(toy, decoder="jpeg4py", store="crops"), paths)
    crops, decoder = str(error.value).splitlines()
    assert crops.startswith("data.store: crops, but crops.got10k is not set; make them with tracking/prepare_data.py")
    assert decoder.startswith("data.decoder: decoder 'jpeg4py': its library is not installed; pip install jpeg4py")
    with pytest.raises(ConfigError, match="data.store: crops, but crops.got10k is not set"):
        build_pairs(changed_data(toy, store="crops"), paths, toy.data.train)


def test_pairs_are_drawn_by_the_settings_of_each_source(toy, toy_got10k, tmp_path):
    paths = Paths(data={"got10k": toy_got10k}, output=tmp_path, pretrained_models=tmp_path, cache=tmp_path / "cache")
    every = toy.data.train[0].model_copy(update={"annotated_every": 4})
    pairs = build_pairs(toy, paths, (every,))
    frames = {name for number in range(60) for name in pairs.sample(number).sources[0].split()[2::2]}
    assert frames == {f"{number + 1:08d}.jpg" for number in (0, 4, 8, 12, 16, 19)}
    with pytest.raises(ValueError, match="no pair can be drawn from its 3 sequences.* each 19th"):
        build_pairs(toy, paths, (every.model_copy(update={"annotated_every": 19}),))


def test_a_trainer_starts_from_the_networks_own_weights_and_the_initial_ones(toy, toy_got10k, tmp_path):
    paths = Paths(
        data={"got10k": toy_got10k}, output=tmp_path / "output", pretrained_models=tmp_path, cache=tmp_path / "cache"
    )
    assert equal(build_trainer(toy, paths, ALONE).actor.model, build_model(toy))
    donor = {name.removeprefix("backbone."): value for name, value in other_weights(toy).items()}
    image_weights = {name: value for name, value in donor.items() if not name.startswith(("box_head.", "pos_embed_"))}
    image_weights = {name: value for name, value in image_weights.items() if ".divide_predict." not in name}
    torch.save({"model": image_weights | {"pos_embed": torch.zeros(1, 10, 32)}}, tmp_path / "mae.pth")
    wanted = toy.model_copy(update={"model": toy.model.model_copy(update={"pretrained": "mae.pth"})})
    trained = build_trainer(wanted, paths, ALONE).actor.model.state_dict()
    fresh = build_model(toy).state_dict()
    for name, value in trained.items():
        source = image_weights.get(name.removeprefix("backbone."), fresh[name])
        assert name.startswith("backbone.pos_embed") or torch.equal(value, source)
    assert not (tmp_path / "output").exists()


def test_an_actor_freezes_what_the_family_and_the_recipe_name_and_inference_nothing(toy, monkeypatch):
    last = toy.model.backbone.depth - 1
    wanted = toy.model_copy(update={"train": toy.train.model_copy(update={"frozen": (r"backbone\.patch_embed",)})})
    model = build_model(wanted)
    record = SimpleNamespace(frozen=lambda config: (rf"backbone\.blocks\.{config.backbone.depth - 1}\.",))
    monkeypatch.setattr(type(model), "family", record)
    assert all(parameter.requires_grad for parameter in model.parameters())
    build_actor(wanted, model)
    assert {name for name, parameter in model.named_parameters() if not parameter.requires_grad} == {
        name
        for name, _ in model.named_parameters()
        if name.startswith((f"backbone.blocks.{last}.", "backbone.patch_embed."))
    }
