"""ONNX graphs in reduced precision: the products of a network's body; heads, norms and softmax stay float32."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lib.export.record import ExportError

# The module that no reduced precision enters, in training and here.
HEAD = "box_head"
_SCOPES = "pkg.torch.onnx.name_scopes"
_PRODUCTS = ("MatMul", "Gemm", "Conv")


def in_head(node: onnx.NodeProto) -> bool:
    """Whether a node comes from the network's head, by the module names that PyTorch's exporter writes to it."""
    return any(HEAD in entry.value for entry in node.metadata_props if entry.key == _SCOPES)


def quantize(file: Path) -> None:
    """Compute the matrix products with weights of an ONNX file in 8 bits: weights by output channel, tokens by a scale
    that each call measures anew. Convolutions stay float32.

    Weights use 7 of their bits: processors without VNNI would overflow otherwise (ONNX Runtime's documentation of
    ``reduce_range``), and it costs no time. Raises ``ExportError`` if the network has no such product.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(file)
    quantize_dynamic(
        file,
        file,
        op_types_to_quantize=["MatMul"],
        nodes_to_exclude=[node.name for node in model.graph.node if in_head(node)],
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
    )
    if not any(node.op_type == "MatMulInteger" for node in onnx.load(file).graph.node):
        raise ExportError(
            "--precision int8: this network computes by convolutions, which int8 leaves in float32; "
            "take --precision fp32, or --format openvino --precision bf16"
        )


def halve(file: Path) -> None:
    """Compute the matrix products and convolutions of an ONNX file in float16, as in autocast: their inputs are cast to
    float16 and their outputs back to float32. Strongly typed engines need these explicit casts.

    ONNX Runtime's own converter casts the tensors between all other nodes too, so residual sums would lose precision.
    """
    model = onnx.load(file)
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer}
    cast: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type not in _PRODUCTS or in_head(node):
            nodes.append(node)
            continue
        for number, name in enumerate(node.input):
            half = f"{name}_fp16"
            if name and half not in cast:
                cast.add(half)
                if name in weights:
                    values = numpy_helper.to_array(weights[name]).astype(np.float16)
                    graph.initializer.append(numpy_helper.from_array(values, half))
                else:
                    nodes.append(helper.make_node("Cast", [name], [half], name=half, to=TensorProto.FLOAT16))
            node.input[number] = half if name else name
        output = node.output[0]
        node.output[0] = f"{output}_of_fp16"
        nodes += [node, helper.make_node("Cast", [node.output[0]], [output], name=output, to=TensorProto.FLOAT)]
    used = {name for node in nodes for name in node.input}
    kept = [weight for weight in graph.initializer if weight.name in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    onnx.checker.check_model(model)
    onnx.save(model, file)
