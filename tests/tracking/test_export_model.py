"""export_model.py, run for real."""

import json

import pytest
import torch

from lib.experiment.build import build_model
from lib.experiment.config import load_experiment
from lib.export.record import read_record


@pytest.fixture
def checkpoint(toy, tmp_path):
    """The toy's network without training, as its authors would release it."""
    torch.save({"net": build_model(load_experiment(toy.file)).state_dict()}, tmp_path / "toy.pth")
    return tmp_path / "toy.pth"


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_checkpoint_becomes_a_folder_that_tracks_alike(call, toy, checkpoint, runtime):
    words = ["--config", toy.file, "--checkpoint", checkpoint, "--format", runtime, "--batch", 2]
    ended = call("export_model.py", *words, "--score", "got10k_val")
    assert ended.code == 0, ended.err
    folder = toy.output / "toy" / "exported" / f"{runtime}_fp32_2"
    assert f"{folder}: written, for batches of 2" in ended.out
    assert "batch 2, tracked sequence" in ended.out
    assert "Warning" not in ended.err
    # Both forms are scored, and alike.
    eager, exported = (json.loads(file.read_text())["scores"] for file in (toy.output / "toy").rglob("score.json"))
    assert exported["got10k"] == pytest.approx(eager["got10k"], abs=0.01)
    record = read_record(folder)
    assert record.origin.checkpoint_sha256 is not None and record.origin.model["name"] == "grm"
    ended = call("export_model.py", *words)
    assert ended.code == 1
    assert ended.err.startswith(f"error: {folder}: is there already and not empty; ")


def test_a_mistake_is_one_line(call, toy, checkpoint):
    words = ["--config", toy.file, "--checkpoint", checkpoint, "--format", "onnx", "--precision", "bf16"]
    ended = call("export_model.py", *words)
    assert ended.code == 1
    assert ended.err == (
        "error: --format onnx --precision bf16: ONNX Runtime has no bf16 on processors; "
        "take --format openvino, or --precision int8\n"
    )
