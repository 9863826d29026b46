"""A family that freezes what it starts from, through the whole wiring: its checkpoints hold what was trained alone."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy_experiment import write_experiment

from lib.config.paths import Paths
from lib.experiment.build import TorchForm, build_model, build_trainer, trained_model
from lib.experiment.config import ExperimentConfig, load_experiment
from lib.models.registry import FAMILIES
from lib.programs.conversion import convert_checkpoint
from lib.programs.testing import run_test
from lib.runtime.checkpoint import CheckpointError, read_checkpoint
from lib.runtime.process import Process
from lib.training.trainer import Trainer

ALONE = Process(0, 1, torch.device("cpu"))
BENEATH = (r"backbone\.blocks\.\d+\.(norm|attn\.qkv|attn\.proj|mlp)", r"backbone\.(patch_embed|norm)")


@pytest.fixture(autouse=True)
def adapter_family(monkeypatch):
    """GRM whose blocks and patch projection are frozen; what image networks lack is trained."""
    family = FAMILIES["grm"]
    monkeypatch.setattr(family.network, "family", family)  # undone last: a new record makes itself the class's
    monkeypatch.setitem(FAMILIES, "grm", replace(family, frozen=lambda config: BENEATH))


def image_weights(experiment: ExperimentConfig, seed: int) -> dict[str, torch.Tensor]:
    """Those of an image network, in timm's names, with a position table of 3 x 3 patches."""
    donor = build_model(experiment.model_copy(update={"seed": seed})).state_dict()
    names = [name for name in donor if name.startswith("backbone.") and "divide_predict" not in name]
    weights = {name.removeprefix("backbone."): donor[name] for name in names if "pos_embed_" not in name}
    return weights | {"pos_embed": torch.zeros(1, 10, 32)}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TRACKING_PRETRAINED_MODELS", str(tmp_path))
    return tmp_path


@pytest.fixture
def experiment(folder) -> ExperimentConfig:
    experiment = load_experiment(write_experiment(folder / "toy.yaml", model={"pretrained": "mae.pth"}))
    torch.save({"model": image_weights(experiment, 99)}, folder / "mae.pth")
    torch.save({"model": image_weights(experiment, 100)}, folder / "other.pth")
    return experiment


def start(experiment: ExperimentConfig, folder: Path, data: Path, output: str = "output") -> Trainer:
    paths = Paths(data={"got10k": data}, output=folder / output, pretrained_models=folder, cache=folder / "cache")
    return build_trainer(experiment, paths, ALONE)


def changed(experiment: ExperimentConfig, section: str, **values) -> ExperimentConfig:
    return experiment.model_copy(update={section: getattr(experiment, section).model_copy(update=values)})


@pytest.mark.slow
@pytest.mark.parametrize("ema", [None, 0.5])
def test_checkpoints_hold_what_is_trained_and_a_run_goes_on_to_the_same_bits(experiment, folder, toy_got10k, ema):
    experiment = changed(experiment, "train", ema=ema)
    whole = start(experiment, folder, toy_got10k)
    assert whole.run() == 0
    content = read_checkpoint(folder / "output" / "toy" / "checkpoints" / "last.pth")
    weights = whole.actor.model.state_dict()
    frozen = {name for name, value in whole.actor.model.named_parameters() if not value.requires_grad}
    assert len(frozen) > 20
    for key in ("model", *(["unaveraged"] if ema else [])):
        assert content[key].keys() == weights.keys() - frozen
    assert content["beneath"].keys() == {"pretrained", "sha256"}

    stopped = start(experiment, folder, toy_got10k, "stopped")
    passes = iter(range(100))
    stopped.actor.model.register_forward_pre_hook(
        lambda *_: signal.raise_signal(signal.SIGTERM) if next(passes) == 3 else None
    )
    assert stopped.run() == signal.SIGTERM
    again = start(experiment, folder, toy_got10k, "stopped")
    assert again.run() == 0
    found = again.actor.model.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in weights.items())
    if ema:
        average, other = whole.state.average.module.state_dict(), again.state.average.module.state_dict()
        assert all(torch.equal(value, other[name]) for name, value in average.items())


@pytest.mark.slow
def test_such_a_file_is_tested_converted_and_trained_from(experiment, folder, toy_got10k):
    trainer = start(experiment, folder, toy_got10k)
    assert trainer.run() == 0
    file = folder / "output" / "toy" / "checkpoints" / "last.pth"
    expected = trainer.actor.model.state_dict()
    network = TorchForm(experiment, file).network()
    assert all(torch.equal(value, expected[name]) for name, value in network.model.state_dict().items())

    convert_checkpoint(file, None, folder / "plain.pth")
    plain = read_checkpoint(folder / "plain.pth")
    assert all(torch.equal(value, expected[name]) for name, value in plain["model"].items())
    assert plain["model"].keys() == expected.keys()
    assert "beneath" not in plain
    (folder / "mae.pth").rename(folder / "elsewhere.pth")
    model, _ = trained_model(experiment, folder / "plain.pth")
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    with pytest.raises(CheckpointError, match="last.pth: holds trained tensors alone, .*mae.pth does not exist"):
        TorchForm(experiment, file).network()
    (folder / "elsewhere.pth").rename(folder / "mae.pth")

    tuned = changed(experiment, "train", init_from=str(file))
    trainer = start(tuned, folder, toy_got10k, "tuned")
    trainer._restore()
    assert all(torch.equal(value, expected[name]) for name, value in trainer.actor.model.state_dict().items())


@pytest.mark.slow
def test_the_folder_of_paths_yaml_is_asked_and_another_base_is_refused(experiment, folder, toy_got10k, monkeypatch):
    assert start(experiment, folder, toy_got10k).run() == 0
    file = folder / "output" / "toy" / "checkpoints" / "last.pth"
    monkeypatch.delenv("TRACKING_PRETRAINED_MODELS")
    monkeypatch.setenv("TRACKING_PATHS", str(folder / "paths.yaml"))
    (folder / "paths.yaml").write_text("{}")
    data = {"got10k": toy_got10k}
    paths = Paths(data=data, output=folder / "output", pretrained_models=folder, cache=folder / "cache")
    evaluation = run_test(paths, "got10k_val", checkpoint=[file], device="cpu")
    assert evaluation.good
    over_other = changed(experiment, "model", pretrained="other.pth")
    message = (
        r"last.pth: was trained over weights of sha256 \w{64}, but those of model.pretrained other.pth have \w{64}"
    )
    with pytest.raises(CheckpointError, match=message):
        TorchForm(over_other, file, pretrained_models=folder).network()
    with pytest.raises(CheckpointError, match=message):
        start(changed(over_other, "train", init_from=str(file)), folder, toy_got10k, "other").run()
    with pytest.raises(CheckpointError, match="model.pretrained is none"):
        TorchForm(changed(experiment, "model", pretrained="none"), file, pretrained_models=folder).network()
    torch.save({"model": image_weights(experiment, 101)}, folder / "mae.pth")
    with pytest.raises(CheckpointError, match="was trained over weights"):
        start(changed(experiment, "train", epochs=2), folder, toy_got10k).run()


@pytest.mark.slow
def test_frozen_weights_of_another_source_are_saved(experiment, folder, toy_got10k):
    """Fresh ones, and those of a whole file that the run starts from."""
    torch.save({"model": build_model(experiment.model_copy(update={"seed": 5})).state_dict()}, folder / "whole.pth")
    for number, wanted in enumerate((
        changed(experiment, "model", pretrained="none"),
        changed(experiment, "train", init_from=str(folder / "whole.pth")),
    )):  # fmt: skip
        trainer = start(wanted, folder, toy_got10k, str(number))
        assert trainer.run() == 0
        content = read_checkpoint(folder / str(number) / "toy" / "checkpoints" / "last.pth")
        assert content["model"].keys() == trainer.actor.model.state_dict().keys()
        assert "beneath" not in content
        assert start(wanted, folder, toy_got10k, str(number)).run() == 0


@pytest.mark.slow
def test_what_the_recipe_alone_freezes_is_saved(experiment, folder, toy_got10k, monkeypatch):
    monkeypatch.setitem(FAMILIES, "grm", replace(FAMILIES["grm"], frozen=lambda config: ()))
    trainer = start(changed(experiment, "train", frozen=BENEATH), folder, toy_got10k)
    assert trainer.run() == 0
    content = read_checkpoint(folder / "output" / "toy" / "checkpoints" / "last.pth")
    assert content["model"].keys() == trainer.actor.model.state_dict().keys()
