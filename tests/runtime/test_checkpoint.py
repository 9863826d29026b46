import re
import resource
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from lib.runtime.checkpoint import (
    CheckpointError,
    load_weights,
    read_checkpoint,
    read_training_checkpoint,
    save_checkpoint,
    save_safetensors,
)

CONTENT = {
    "format": 1,
    "experiment": {"seed": 1, "train": {"lr": 0.1, "init_from": None, "names": ["a", "b"]}},
    "model": OrderedDict(weight=torch.arange(5000.0), steps=torch.tensor(3)),
    "optimizer": {"state": {0: {"step": torch.tensor(2.0)}}, "param_groups": [{"betas": (0.9, 0.999), "params": [0]}]},
    "step": 7,
    "epoch": 1,
    "seed": 5,
    "processes": 2,
}


@pytest.fixture
def path(tmp_path):
    save_checkpoint(tmp_path / "last.pth", CONTENT)
    return tmp_path / "last.pth"


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


def one_line(error) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_a_checkpoint_is_read_as_it_was_written(path):
    assert same(read_training_checkpoint(path), CONTENT)
    assert [file.name for file in path.parent.iterdir()] == ["last.pth"]


@pytest.mark.parametrize(
    "change", [{"step": "7"}, {"model": [1]}, {"optimizer": None}, {"format": "1\n" * 999}, {"experiment": 3}]
)
def test_a_checkpoint_of_other_types_is_one_line(tmp_path, change):
    save_checkpoint(tmp_path / "odd.pth", CONTENT | change)
    with pytest.raises(CheckpointError, match="not a training checkpoint of this project") as error:
        read_training_checkpoint(tmp_path / "odd.pth")
    assert len(one_line(error)) < 400


def test_a_changed_directory_loads_no_memory_that_was_never_written(path):
    """torch reads no byte of an entry with the attributes of a folder."""
    content = bytearray(path.read_bytes())
    entries = [found.start() for found in re.finditer(b"PK\x01\x02", content)]
    assert len(entries) > 4
    for entry in entries:
        for place in range(entry + 38, entry + 42):
            changed = bytearray(content)
            changed[place] ^= 0x10
            path.write_bytes(changed)
            assert same(read_training_checkpoint(path), CONTENT)


def test_torch_files_from_elsewhere(tmp_path):
    torch.save({"model": {}}, tmp_path / "foreign.pth")
    assert read_checkpoint(tmp_path / "foreign.pth") == {"model": {}}
    with pytest.raises(CheckpointError, match="not a training checkpoint of this project.*lacks experiment, opt"):
        read_training_checkpoint(tmp_path / "foreign.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="list"):
        read_checkpoint(tmp_path / "list.pth")


def weights_alone(path, content) -> None:
    save_safetensors(path, content["model"], {"experiment": content["experiment"]})


@pytest.mark.parametrize(("limit", "save"), [
    (100, save_checkpoint), (9000, save_checkpoint), (100, weights_alone),
])  # fmt: skip
def test_a_disk_that_takes_no_more_leaves_the_earlier_file(path, limit, save):
    """The kernel refuses to let a file grow beyond ``limit`` bytes: at its opening, inside torch.save."""
    before, hard = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    assert limit < len(before)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard[1]))
    try:
        with pytest.raises(CheckpointError, match="cannot be saved") as error:
            save(path, CONTENT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, hard)
    assert str(path) in one_line(error)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["last.pth"]


def test_another_type_than_plain_ones_is_our_own_mistake(tmp_path):
    with pytest.raises(Exception, match="pickle|local object") as error:
        save_checkpoint(tmp_path / "last.pth", {"step": lambda: 1})
    assert not isinstance(error.value, CheckpointError)


def test_weights_of_another_model_are_reported():
    model = nn.Linear(2, 3)
    before = model.weight.clone()
    weights = {"weight": torch.zeros(4, 2), "scale": torch.ones(1)}
    with pytest.raises(CheckpointError) as error:
        load_weights(model, weights, Path("other.pth"))
    message = one_line(error)
    for part in ("other.pth", "1 missing: bias", "1 unexpected: scale", "weight (4, 2) where the model has (3, 2)"):
        assert part in message
    assert torch.equal(model.weight, before)
    with pytest.raises(CheckpointError, match="1 no tensors: bias"):
        load_weights(model, {"weight": torch.zeros(3, 2), "bias": [0, 0, 0]}, Path("other.pth"))
    load_weights(model, {"weight": torch.zeros(3, 2), "bias": torch.ones(3)}, Path("own.pth"))
    assert model.weight.sum() == 0


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool])
def test_integers_are_no_weights(dtype):
    """torch would copy the whole numbers of a quantized network as if they were its weights."""
    model = nn.Linear(2, 3)
    before = model.weight.clone()
    weights = {"weight": torch.ones(3, 2).to(dtype), "bias": torch.ones(3)}
    with pytest.raises(CheckpointError, match="small.pth: 1 of its weights are integers.*weight u?(int|bool)") as error:
        load_weights(model, weights, Path("small.pth"))
    assert "take its weights in floating point" in one_line(error)
    assert torch.equal(model.weight, before)


def test_other_floating_point_and_counts_are_converted():
    model = nn.BatchNorm1d(2)
    weights = {
        name: value.half() if value.is_floating_point() else value.int() for name, value in model.state_dict().items()
    }
    load_weights(model, weights | {"weight": torch.full((2,), 0.5, dtype=torch.float64)}, "a.pth")
    assert torch.equal(model.weight, torch.full((2,), 0.5))
    assert model.num_batches_tracked.dtype == torch.int64
