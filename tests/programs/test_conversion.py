"""Released checkpoints in our plain form."""

import json

import pytest
import torch
from families import tiny
from released_files import TABLES, published_weights, write_released
from safetensors import safe_open
from toy_experiment import write_experiment

from lib.config.schema import ConfigError
from lib.config.yaml12 import to_yaml
from lib.experiment.build import build_model, build_tracker, experiment_of_checkpoint, trained_model
from lib.experiment.config import load_experiment, to_tree
from lib.models.weights.released import load_released
from lib.programs.conversion import convert_checkpoint
from lib.runtime.checkpoint import CheckpointError, save_checkpoint
from lib.runtime.files import file_sha256


@pytest.mark.parametrize("family", TABLES)
def test_what_is_written_is_plain_and_needs_no_other_file(tmp_path, family):
    experiment = tiny(family)
    (tmp_path / "twin.yaml").write_text(to_yaml(to_tree(experiment)))
    weights = published_weights(build_model(experiment))
    file = write_released(tmp_path / "released.pth.tar", family, weights, zipped=family != "transt")
    text = convert_checkpoint(file, str(tmp_path / "twin.yaml"), tmp_path / "new" / "plain.pth").text()
    assert text.startswith(f"{file}: {len(build_model(experiment).state_dict())} tensors taken")
    assert f"\n{file}: sha256 {file_sha256(file)}\n" in text
    assert text.endswith(f"\n{tmp_path / 'new' / 'plain.pth'}: written, for {experiment.name}")
    (tmp_path / "twin.yaml").unlink()
    file_sum = file_sha256(file)
    file.unlink()

    plain = torch.load(tmp_path / "new" / "plain.pth", weights_only=True)
    assert plain["source"] == {"file": "released.pth.tar", "sha256": file_sum}
    assert experiment_of_checkpoint(tmp_path / "new" / "plain.pth") == experiment
    expected = build_model(experiment)
    load_released(expected, weights)
    tracker = build_tracker(experiment, tmp_path / "new" / "plain.pth")
    for name, value in expected.state_dict().items():
        assert torch.equal(plain["model"][name], value)
    expected.fold()  # as a network that tracks is
    for name, value in expected.state_dict().items():
        assert torch.equal(tracker.network.model.state_dict()[name], value)


def test_a_small_file_of_half_precision_is_read_like_any_other(tmp_path):
    """Halves are numbers of single precision, so the network is the one with rounded weights, to the bit."""
    experiment = tiny("lite")
    (tmp_path / "twin.yaml").write_text(to_yaml(to_tree(experiment)))
    model = build_model(experiment)
    save_checkpoint(tmp_path / "last.pth", {"model": model.state_dict(), "experiment": to_tree(experiment)})
    for out in (tmp_path / "small.safetensors", tmp_path / "small.pth"):
        convert_checkpoint(tmp_path / "last.pth", None, out, half=True)
        loaded = trained_model(experiment, out)[0].state_dict()
        for name, value in model.state_dict().items():
            assert loaded[name].dtype == value.dtype
            assert torch.equal(loaded[name], value.half().float() if value.is_floating_point() else value)
    with safe_open(tmp_path / "small.safetensors", "pt") as file:
        assert json.loads(file.metadata()["experiment"]) == to_tree(experiment)
        assert json.loads(file.metadata()["source"])["file"] == "last.pth"


def test_numbers_beyond_half_precision_are_refused(tmp_path):
    experiment = tiny("lite")
    model = build_model(experiment)
    model.search_norm.running_var[0] = 1e6
    save_checkpoint(tmp_path / "last.pth", {"model": model.state_dict(), "experiment": to_tree(experiment)})
    with pytest.raises(CheckpointError, match="beyond half precision in search_norm.running_var; leave out --half"):
        convert_checkpoint(tmp_path / "last.pth", None, tmp_path / "small.pth", half=True)


@pytest.fixture
def toy(tmp_path) -> str:
    return str(write_experiment(tmp_path / "toy.yaml"))


@pytest.fixture
def released(tmp_path, toy):
    return write_released(
        tmp_path / "released.pth.tar", "grm", published_weights(build_model(load_experiment(toy))), zipped=True
    )


def test_a_file_that_is_there_is_replaced_on_request_only(tmp_path, toy, released):
    (tmp_path / "out.pth").write_bytes(b"mine")
    with pytest.raises(CheckpointError, match="out.pth: is there already; name another file, or add --force"):
        convert_checkpoint(released, toy, tmp_path / "out.pth")
    assert (tmp_path / "out.pth").read_bytes() == b"mine"
    convert_checkpoint(released, toy, tmp_path / "out.pth", force=True)
    assert experiment_of_checkpoint(tmp_path / "out.pth").name == "toy"
    before = released.read_bytes()
    with pytest.raises(CheckpointError, match="is there already"):
        convert_checkpoint(released, toy, released, force=True)
    assert released.read_bytes() == before


def test_nothing_is_written_of_a_file_that_does_not_fit(tmp_path, toy, released):
    with pytest.raises(CheckpointError, match="of another model than the configuration's"):
        convert_checkpoint(released, toy, tmp_path / "new" / "out.pth", ["model.backbone.width=48"])
    with pytest.raises(CheckpointError, match="released.pth.tar: holds no configuration; name it with --config"):
        convert_checkpoint(released, None, tmp_path / "new" / "out.pth")
    with pytest.raises(CheckpointError, match="new: a folder; name a checkpoint in it"):
        (tmp_path / "other" / "new").mkdir(parents=True)
        convert_checkpoint(tmp_path / "other" / "new", toy, tmp_path / "new" / "out.pth")
    with pytest.raises(CheckpointError, match="absent.pth: no such checkpoint"):
        convert_checkpoint(tmp_path / "absent.pth", toy, tmp_path / "new" / "out.pth")
    assert not (tmp_path / "new").exists()


def test_the_table_of_names_is_used_and_reported(tmp_path, toy, released):
    content = {f"t.{name}": value for name, value in published_weights(build_model(load_experiment(toy))).items()}
    torch.save(content | {"more": torch.ones(1)}, tmp_path / "odd.pth")
    (tmp_path / "names.yaml").write_text("t.: ''\nmore:\nnever: there\n")
    text = convert_checkpoint(tmp_path / "odd.pth", toy, tmp_path / "a.pth", rename=tmp_path / "names.yaml").text()
    assert "1 lines of the table that fit nothing (never)" in text
    (tmp_path / "names.yaml").write_text("t.: ''\n")
    with pytest.raises(CheckpointError, match="1 unexpected: more"):
        convert_checkpoint(tmp_path / "odd.pth", toy, tmp_path / "b.pth", rename=tmp_path / "names.yaml")
    (tmp_path / "names.yaml").write_text("t.: 3\n")
    with pytest.raises(ConfigError, match="names.yaml: t.: got 3"):
        convert_checkpoint(tmp_path / "odd.pth", toy, tmp_path / "b.pth", rename=tmp_path / "names.yaml")


def test_our_own_checkpoint_keeps_its_configuration(tmp_path, toy, released):
    convert_checkpoint(released, toy, tmp_path / "a.pth", ["model.division.threshold=0.4"])
    convert_checkpoint(tmp_path / "a.pth", None, tmp_path / "b.pth")
    one, other = (torch.load(tmp_path / name, weights_only=True) for name in ("a.pth", "b.pth"))
    assert one["experiment"] == other["experiment"]
    assert other["experiment"]["model"]["division"]["threshold"] == 0.4
    assert all(torch.equal(value, other["model"][name]) for name, value in one["model"].items())


def test_names_and_shapes_are_listed(tmp_path, toy):
    torch.save({"net": {"a.weight": torch.zeros(2, 3), "count": torch.tensor(1), "text": "x"}}, tmp_path / "odd.pth")
    lines = convert_checkpoint(tmp_path / "odd.pth", toy, None).text().splitlines()
    assert lines[:4] == [
        f"{tmp_path / 'odd.pth'}:",
        "  a.weight  2x3  float32",
        "  count  scalar  int64",
        "  text  no tensor",
    ]
    assert lines[4] == "toy:"
    assert "  backbone.patch_embed.proj.weight  32x3x16x16  float32" in lines[5:]
    assert len(convert_checkpoint(tmp_path / "odd.pth", None, None).text().splitlines()) == 4
