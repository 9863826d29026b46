"""Passes over ONNX graphs: products become of fewer bits, and nothing else does."""

import shutil
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest

from lib.export.reduced import halve, in_head, quantize

pytestmark = pytest.mark.slow  # they share an export


@pytest.fixture(scope="module")
def source(onnx_export):
    return onnx_export / "find.onnx"


def answers(file, feeds) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(file, options).run(None, feeds)[0]


@pytest.fixture(scope="module")
def feeds(source):
    rng = np.random.default_rng(0)
    shapes = {given.name: given.shape for given in onnxruntime.InferenceSession(source).get_inputs()}
    crops, tokens, mask = shapes.values()
    return {
        "crops": rng.integers(0, 256, crops, dtype=np.uint8),
        "state0": rng.normal(size=tokens).astype(np.float32),
        "state1": np.ones(mask, dtype=bool),
    }


def products(file) -> Counter:
    """How many nodes of each kind of product lie in the head and outside of it."""
    nodes = onnx.load(file).graph.node
    kinds = ("MatMul", "Gemm", "Conv", "MatMulInteger")
    return Counter((node.op_type, in_head(node)) for node in nodes if node.op_type in kinds)


def test_the_head_is_known_by_its_module(source):
    before = products(source)
    assert before["Conv", True] == 15  # three branches
    assert before["Conv", False] == 1  # patches
    assert before["MatMul", False] > 8 and before["MatMul", True] == 0


def test_int8_takes_every_product_with_weights_and_no_convolution(source, feeds, tmp_path):
    quantize(shutil.copyfile(source, tmp_path / "int8.onnx"))
    before, after = products(source), products(tmp_path / "int8.onnx")
    weights = {weight.name for weight in onnx.load(source).graph.initializer}
    with_weights = sum(
        node.op_type == "MatMul" and bool(weights & set(node.input)) for node in onnx.load(source).graph.node
    )
    assert after["MatMulInteger", False] == with_weights >= 8
    assert after["MatMul", False] == before["MatMul", False] - with_weights
    assert (after["Conv", True], after["Conv", False]) == (before["Conv", True], before["Conv", False])
    far = np.abs(answers(tmp_path / "int8.onnx", feeds) - answers(source, feeds))[:, 2:4].max()
    assert 1e-6 < far < 0.02


def test_fp16_takes_every_product_but_the_heads(source, feeds, tmp_path):
    halve(shutil.copyfile(source, tmp_path / "fp16.onnx"))
    assert products(tmp_path / "fp16.onnx") == products(source)
    model = onnx.load(tmp_path / "fp16.onnx")
    half = {weight.name for weight in model.graph.initializer if weight.data_type == onnx.TensorProto.FLOAT16}
    half |= {
        node.output[0]
        for node in model.graph.node
        if node.op_type == "Cast" and node.attribute[0].i == onnx.TensorProto.FLOAT16
    }
    for node in model.graph.node:
        entered = [name in half for name in node.input if name]
        assert all(entered) if node.op_type in ("MatMul", "Gemm", "Conv") and not in_head(node) else not any(entered)
    far = np.abs(answers(tmp_path / "fp16.onnx", feeds) - answers(source, feeds))[:, 2:4].max()
    assert 1e-7 < far < 0.002
