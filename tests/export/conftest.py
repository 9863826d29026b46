"""A toy network and its exports, made once."""

from pathlib import Path

import pytest

from lib.export.exporting import export_network, write_network
from lib.export.record import Origin, Runtime
from lib.inference.torch_network import TorchNetwork
from tests.export.toy_exports import toy_network

BATCH = 3


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> TorchNetwork:
    """The eager one."""
    return toy_network(tmp_path_factory.mktemp("eager"))


@pytest.fixture(scope="session")
def exports(network: TorchNetwork, tmp_path_factory: pytest.TempPathFactory) -> dict[Runtime, Path]:
    """Its fp32 export for each runtime, for ``BATCH`` crops; tests leave the folders as they are."""
    root = tmp_path_factory.mktemp("exports")
    export_network(network, root / "openvino", "openvino", "fp32", BATCH, Origin(experiment="toy"), threads=1)
    (root / "onnx").mkdir()  # without the comparison, which takes seconds
    write_network(network, root / "onnx", "onnx", "fp32", BATCH, Origin(experiment="toy"))
    return {"onnx": root / "onnx", "openvino": root / "openvino"}


@pytest.fixture(params=["onnx", "openvino"])
def exported(request: pytest.FixtureRequest, exports: dict[Runtime, Path]) -> Path:
    """The folder of one runtime, then of the other."""
    return exports[request.param]
