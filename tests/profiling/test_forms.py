"""The forms that a network can be run in."""

import numpy as np
import pytest
import torch
from families import tiny
from toy_experiment import write_experiment

from lib.experiment.config import ExperimentConfig, load_experiment
from lib.inference.network import Network
from lib.profiling.forms import EAGER, Form, forms_here, open_forms, parse_forms

CPU = torch.device("cpu")


def test_forms_are_named_in_a_list():
    assert parse_forms("eager:fp32,compiled:bf16") == (EAGER, Form("compiled", "bf16"))
    assert [str(form) for form in parse_forms("captured:fp16")] == ["captured fp16"]


@pytest.mark.parametrize(
    ("text", "words"),
    [("eagre:fp32", "'eagre'"), ("", "''"), ("eager", "a precision is fp32"), ("eager:int8", "eager:int8")],
)
def test_an_unknown_form_is_named(text, words):
    with pytest.raises(ValueError, match=words):
        parse_forms(text)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> ExperimentConfig:
    return load_experiment(write_experiment(tmp_path_factory.mktemp("toy") / "toy.yaml"))


@pytest.fixture(scope="module")
def exported(experiment, tmp_path_factory) -> list[tuple[str, Network, int]]:
    forms = parse_forms("onnx:fp32,openvino:fp32")
    return open_forms(experiment, forms, (), CPU, 1, tmp_path_factory.mktemp("exported"), (2,))


def scores(network: Network) -> np.ndarray:
    rng = np.random.default_rng(0)
    template, search = (
        rng.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
        for size in (network.settings.template.size, network.settings.search.size)
    )
    boxes = np.tile(np.array([[0.3, 0.3, 0.4, 0.4]], np.float32), (2, 1))
    return network.find(network.encode(template, boxes), search).scores


def test_every_form_is_opened_for_each_batch(experiment, tmp_path):
    opened = open_forms(experiment, parse_forms("eager:fp32,eager:bf16"), (), CPU, 1, tmp_path, (1, 2))
    assert [(label, batch) for label, _, batch in opened] == [
        ("eager fp32", 1), ("eager fp32", 2), ("eager bf16", 1), ("eager bf16", 2),
    ]  # fmt: skip
    (_, eager, _), (_, same, _), (_, coarse, _), _ = opened
    assert eager is same and (eager.precision, coarse.precision) == ("fp32", "bf16")
    np.testing.assert_allclose(scores(coarse), scores(eager), atol=0.02)


@pytest.mark.slow
def test_exported_forms_have_the_same_weights(experiment, exported, tmp_path):
    assert [(label, batch) for label, _, batch in exported] == [("onnx fp32", 2), ("openvino fp32", 2)]
    [(_, eager, _)] = open_forms(experiment, (EAGER,), (), CPU, 1, tmp_path, (2,))
    for _, network, _ in exported:
        np.testing.assert_allclose(scores(network), scores(eager), atol=1e-5)


@pytest.mark.slow
def test_an_exported_network_fits_its_experiment_and_batch(experiment, exported, tmp_path):
    network = exported[0][1]
    folders = (network.folder,)
    opened = open_forms(experiment, (EAGER,), folders, CPU, 1, tmp_path, (1, 2))
    assert [(label, batch) for label, _, batch in opened[1:]] == [("eager fp32", 2), (network.folder.name, 2)]
    with pytest.raises(ValueError, match="is of toy, not of grm_tiny"):
        open_forms(tiny("grm"), (), folders, CPU, 1, tmp_path, (2,))
    with pytest.raises(ValueError, match="give --batch 2"):
        open_forms(experiment, (), folders, CPU, 1, tmp_path, (1,))


def test_forms_that_cannot_run_here_are_left_out(caplog):
    captured, coarse = Form("captured", "fp32"), Form("onnx", "bf16")
    assert forms_here((EAGER, captured, coarse), CPU) == (EAGER,)
    assert "captured on CUDA, not on cpu" in caplog.text and "onnx --precision bf16" in caplog.text
    with pytest.raises(ValueError, match="captured on CUDA, not on cpu"):
        forms_here((captured,), CPU)
