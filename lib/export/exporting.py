"""Writing a network as a folder that ONNX Runtime or OpenVINO runs."""

import logging
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from lib.export.exported import open_network
from lib.export.parity import ParityReport, compare_networks
from lib.export.record import NETWORK_FILES, ExportError, ExportPrecision, ExportRecord, Origin, Runtime
from lib.inference.torch_network import TorchNetwork
from lib.runtime.files import file_sha256, new_folder, write_text
from lib.runtime.locks import only_writer

PARITY = "parity.json"
# The first opset with all operators of the networks, and the newest that PyTorch's exporter writes by itself.
OPSET = 20
NEEDED: dict[Runtime, tuple[str, ...]] = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino",)}
_REFUSED: dict[tuple[Runtime, ExportPrecision], str] = {
    ("onnx", "bf16"): "ONNX Runtime has no bf16 on processors; take --format openvino, or --precision int8",
    ("openvino", "fp16"): "on processors it takes longer than fp32; take --precision bf16",
    ("openvino", "int8"): "it takes longer than bf16 and than ONNX Runtime's int8; take --precision bf16, or "
    "--format onnx",
}


def check_form(runtime: Runtime, precision: ExportPrecision) -> None:
    """Raise ``ExportError`` for a precision that a runtime does not support, and for missing libraries."""
    if (runtime, precision) in _REFUSED:
        raise ExportError(f"--format {runtime} --precision {precision}: {_REFUSED[runtime, precision]}")
    missing = [name for name in NEEDED[runtime] if find_spec(name) is None]
    if missing:
        raise ExportError(f"--format {runtime}: {', '.join(missing)} not installed; pip install {' '.join(missing)}")


def check_folder(folder: Path) -> None:
    """Raise ``ExportError`` unless ``folder`` is absent or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(f"{folder}: is there already and not empty; remove it, or name another with --out")


def export_network(
    network: TorchNetwork,
    folder: Path,
    runtime: Runtime,
    precision: ExportPrecision,
    batch: int,
    origin: Origin,
    threads: int | None = None,
) -> ParityReport:
    """Write ``network``, which runs in fp32 on the processor, to ``folder`` for ``batch`` crops at a time.

    The files are compared with ``network`` (``lib.export.parity``). They are written beside ``folder`` and renamed at
    the end: after an error, ``ParityError`` included, there is no folder. Raises ``ExportError`` as ``check_form`` and
    ``check_folder`` do, and ``LockedError`` while another process writes the folder.
    """
    check_form(runtime, precision)
    folder = folder.absolute()
    with only_writer(folder):
        check_folder(folder)
        with new_folder(folder) as unfinished:
            record = write_network(network, unfinished, runtime, precision, batch, origin)
            exported = open_network(unfinished, threads)
            report = compare_networks(network, exported, precision, f"{network.name} ({runtime} {precision})")
            report.check()
            write_text(unfinished / PARITY, report.json())
            record.model_copy(update={"parity": report.summary()}).write(unfinished)
    return report


def write_network(
    network: TorchNetwork, folder: Path, runtime: Runtime, precision: ExportPrecision, batch: int, origin: Origin
) -> ExportRecord:
    """Write ``network``, which runs in fp32 on the processor, into ``folder`` without comparing; returns its record.

    ``lib.export.exported.open_network`` opens the folder. Raises ``ExportError`` as ``check_form`` does.
    """
    assert network.precision == "fp32" and network.device == "cpu", (network.precision, network.device)
    assert batch > 0, batch
    check_form(runtime, precision)
    encode_file, find_file = (folder / name for name in NETWORK_FILES[runtime])
    with _quiet():
        encode, find, state = export_programs(network, batch)
        if runtime == "openvino":
            _write_openvino(encode, encode_file)
            _write_openvino(find, find_file)
            if precision == "bf16":
                _keep_head(find_file, network.model.box_head)
        else:
            leaves = [f"state{number}" for number in range(len(state))]
            _write_onnx(encode, encode_file, ["crops", "boxes"], leaves)
            _write_onnx(find, find_file, ["crops", *leaves], ["best"])
            if precision != "fp32":
                from lib.export.reduced import halve, quantize

                (halve if precision == "fp16" else quantize)(find_file)
    versions = {name: version(name) for name in ("torch", *NEEDED[runtime])}
    record = ExportRecord(
        runtime=runtime,
        precision=precision,
        batch=batch,
        settings=network.settings,
        state=tuple({"shape": list(leaf.shape[1:]), "dtype": str(leaf.numpy().dtype)} for leaf in state),
        origin=origin.model_copy(update={"versions": {"python": platform.python_version(), **versions}}),
        files={path.name: file_sha256(path) for path in sorted(folder.iterdir())},
    )
    record.write(folder)
    return record


def export_programs(network: TorchNetwork, batch: int) -> tuple[ExportedProgram, ExportedProgram, tuple[Tensor, ...]]:
    """``encode`` of one target and ``find`` in ``batch`` crops as programs of ``torch.export``, and a state."""
    encode, find = network.encode_graph, network.find_graph
    template, search = (
        torch.from_numpy(np.zeros((rows, crop.size, crop.size, 3), dtype=crop.dtype))
        for rows, crop in ((1, network.settings.template), (batch, network.settings.search))
    )
    box = torch.tensor([[0.25, 0.25, 0.5, 0.5]])
    with torch.no_grad():
        state = tuple(leaf.contiguous() for leaf in encode(template, box))
        rows = tuple(leaf.expand(batch, *leaf.shape[1:]).contiguous() for leaf in state)
        return torch.export.export(encode, (template, box)), torch.export.export(find, (search, *rows)), state


def _write_onnx(program: ExportedProgram, file: Path, inputs: list[str], outputs: list[str]) -> None:
    written = torch.onnx.export(
        program, dynamo=True, verbose=False, opset_version=OPSET, input_names=inputs, output_names=outputs
    )
    written.save(file)


def _write_openvino(program: ExportedProgram, file: Path) -> None:
    """Weights stay float32: OpenVINO converts them to the precision of its computation."""
    import openvino

    model = openvino.convert_model(program)
    given, _ = program.example_inputs
    model.reshape({number: openvino.PartialShape(list(array.shape)) for number, array in enumerate(given)})
    openvino.save_model(model, file, compress_to_fp16=False)


def _keep_head(file: Path, head: nn.Module) -> None:
    """Mark the ``head`` of a written OpenVINO model with ``precise``: OpenVINO computes marked layers in float32. A
    file has its layers in the order of their computation.

    The mark reduces the largest difference of SimTrack's twin from 0.22 to 0.03 pixels. OpenVINO 2026.4 reads it at
    convolutions; the linear layers of an MLP head lose it when OpenVINO converts them to its own kind of layer.
    """
    tree = ElementTree.parse(file)
    layers = list(tree.getroot().find("layers"))
    kinds = [layer.get("type") for layer in layers]
    for layer in layers[_head_start(kinds, head) :]:
        if layer.get("type") != "Result":
            marks = layer.find("rt_info")
            if marks is None:
                marks = ElementTree.SubElement(layer, "rt_info")
            ElementTree.SubElement(marks, "attribute", name="precise", version="0")
    tree.write(file, encoding="utf-8", xml_declaration=True)


def _head_start(kinds: list[str], head: nn.Module) -> int:
    """The index of the head's first layer among the ``kinds`` of a written OpenVINO model's layers: after the last
    LayerNorm if the network has one, else at the head's first convolution, or linear layer if it has no convolution."""
    if "MVN" in kinds:
        return len(kinds) - kinds[::-1].index("MVN")
    of_head = {
        kind: sum(isinstance(module, layer) for module in head.modules())
        for kind, layer in (("Convolution", nn.Conv2d), ("MatMul", nn.Linear))
    }
    kind = next(kind for kind, count in of_head.items() if count)
    return [number for number, other in enumerate(kinds) if other == kind][-of_head[kind]]


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses the warnings of the exporters, which concern their own code and constants that they fold."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
