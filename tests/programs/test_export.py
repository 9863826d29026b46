"""Exporting a checkpoint: which settings the exported network gets."""

import signal

import pytest
import torch
from toy_experiment import write_experiment

from lib.config.paths import Paths
from lib.config.schema import ConfigError
from lib.experiment.build import build_model
from lib.experiment.config import load_experiment
from lib.export.record import ExportError
from lib.programs.export import export_checkpoint
from lib.runtime.stop import Terminated


@pytest.fixture
def toy(tmp_path) -> str:
    values = {"model.division.threshold": 0.4, "test.tracker.window": "none"}
    test = {"precision": "bf16", "per_dataset": {"lasot": values}}
    return str(write_experiment(tmp_path / "toy.yaml", test=test))


@pytest.fixture
def checkpoint(toy, tmp_path):
    torch.save({"net": build_model(load_experiment(toy)).state_dict()}, tmp_path / "toy.pth")
    return tmp_path / "toy.pth"


@pytest.fixture
def given(monkeypatch) -> list:
    """What the export is called with."""
    calls = []

    class Report:
        def text(self) -> str:
            return "parity"

    def export(*arguments):
        calls.append((*arguments, signal.getsignal(signal.SIGTERM)))
        return Report()

    monkeypatch.setattr("lib.programs.export.export_network", export)
    return calls


def test_a_benchmarks_values_are_taken_and_eager_runs_in_fp32(toy, checkpoint, tmp_path, given):
    paths = Paths(output=tmp_path / "output")
    words = (paths, toy, checkpoint, "openvino", "fp32")
    text = export_checkpoint(*words, batch=4, dataset="lasot").text()
    folder = tmp_path / "output" / "toy" / "exported" / "openvino_fp32_4"
    assert text == f"parity\n{folder}: written, for batches of 4"
    network, written, runtime, precision, batch, origin, on_sigterm = given[0]
    assert (written, runtime, precision, batch) == (folder, "openvino", "fp32", 4)
    assert (network.precision, network.settings.tracker.window) == ("fp32", "none")
    assert (origin.dataset, origin.model["division"]["threshold"]) == ("lasot", 0.4)
    export_checkpoint(*words, out=tmp_path / "mine")
    with pytest.raises(Terminated):  # so that the unfinished folder is removed, as at Ctrl-C
        on_sigterm(signal.SIGTERM, None)
    network, written, *_, origin, _ = given[1]
    assert (written, network.settings.tracker.window) == (tmp_path / "mine", "multiply")
    assert (origin.dataset, origin.model["division"]["threshold"]) == (None, 0.0)
    with pytest.raises(ValueError, match="unknown benchmark 'lasso'"):
        export_checkpoint(*words, dataset="lasso")


def test_what_cannot_be_written_is_refused_before_a_checkpoint_is_read(toy, tmp_path, given):
    missing = tmp_path / "none.pth"
    with pytest.raises(ExportError, match="--precision bf16"):
        export_checkpoint(Paths(), toy, missing, "onnx", "bf16")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ExportError, match="not empty"):
        export_checkpoint(Paths(), toy, missing, "onnx", "fp32", out=tmp_path / "full")
    with pytest.raises(ValueError, match="lasot"):  # which lies nowhere
        export_checkpoint(Paths(), toy, missing, "onnx", "fp32", score="lasot")
    assert given == []


def test_a_score_with_values_that_the_exported_network_lacks_is_refused(tmp_path, toy_got10k, given):
    test = {"per_dataset": {"got10k_val": {"test.tracker.window": "none"}}}
    toy = str(write_experiment(tmp_path / "own.yaml", test=test))
    paths = Paths(data={"got10k": toy_got10k}, cache=tmp_path / "cache")
    remedy = r"--score got10k_val: .* values of its own \(test.tracker.window\); add --dataset got10k_val"
    with pytest.raises(ConfigError, match=remedy):
        export_checkpoint(paths, toy, tmp_path / "none.pth", "onnx", "fp32", score="got10k_val")
    assert given == []
