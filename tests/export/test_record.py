"""The folder of an exported network: what is read is what was written, and nothing else passes."""

import json
import shutil
from pathlib import Path

import pytest

from lib.export.exported import open_network
from lib.export.record import FORMAT, RECORD, ExportError, read_record


@pytest.fixture
def copy(exports, tmp_path) -> Path:
    """A folder of its own to damage."""
    return Path(shutil.copytree(exports["openvino"], tmp_path / "copy"))


def test_the_record_states_settings_state_files_and_origin(network, exports):
    record = read_record(exports["openvino"])
    assert record.settings == network.settings
    assert [tuple(leaf.values()) for leaf in record.state] == [([4, 32], "float32"), ([4], "bool")]
    assert record.origin.experiment == "toy"
    assert set(record.origin.versions) == {"python", "torch", "openvino"}
    assert record.parity["same_cell"] == 1 and record.parity["pixels"] < 0.05
    written = {path.name for path in exports["openvino"].iterdir()}
    assert written == {*record.files, RECORD, "parity.json"}


def refused(folder: Path) -> str:
    with pytest.raises(ExportError) as caught:
        open_network(folder, threads=1)
    assert "\n" not in str(caught.value)
    assert "export it again" in str(caught.value)
    return str(caught.value)


def test_a_folder_without_a_record_is_refused(tmp_path):
    assert f"{tmp_path}: holds no exported network" in refused(tmp_path)


def test_another_format_is_refused(copy):
    tree = json.loads((copy / RECORD).read_text())
    (copy / RECORD).write_text(json.dumps({**tree, "format": FORMAT + 1, "new": "key"}))
    assert f"{copy}: an exported network of format 2, where this version reads 1" in refused(copy)


@pytest.mark.parametrize("content", ["{", "[1]", '{"format": 1, "runtime": "none"}'])
def test_a_damaged_record_is_refused(copy, content):
    (copy / RECORD).write_text(content)
    assert str(copy) in refused(copy)


def test_a_damaged_or_missing_file_is_refused(copy):
    content = bytearray((copy / "find.bin").read_bytes())
    content[100] ^= 1
    (copy / "find.bin").write_bytes(content)
    assert f"{copy / 'find.bin'}: not as it was written" in refused(copy)
    (copy / "find.bin").unlink()
    assert f"{copy / 'find.bin'}: missing" in refused(copy)
