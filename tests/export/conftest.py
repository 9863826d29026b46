"""A toy network and its exports, made once."""

from pathlib import Path

import pytest

from lib.export.exporting import export_network, write_network
from lib.export.record import Origin
from lib.inference.torch_network import TorchNetwork
from tests.export.toy_exports import toy_network

BATCH = 3


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> TorchNetwork:
    """The eager one."""
    return toy_network(tmp_path_factory.mktemp("eager"))


@pytest.fixture(scope="session")
def onnx_export(network: TorchNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its fp32 export for ``BATCH`` crops, without the comparison, which takes seconds; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("onnx")
    write_network(network, folder, "onnx", "fp32", BATCH, Origin(experiment="toy"))
    return folder


@pytest.fixture(scope="session")
def openvino_export(network: TorchNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for the other runtime, with the comparison."""
    folder = tmp_path_factory.mktemp("exports") / "openvino"
    export_network(network, folder, "openvino", "fp32", BATCH, Origin(experiment="toy"), threads=1)
    return folder


@pytest.fixture(params=["onnx", pytest.param("openvino", marks=pytest.mark.slow)])
def exported(request: pytest.FixtureRequest) -> Path:
    """The folder of one runtime, then of the other."""
    return request.getfixturevalue(f"{request.param}_export")
