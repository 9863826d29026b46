"""The record of an exported network: its files with their checksums, its settings and its origin."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt

from lib.config.schema import Section
from lib.config.validation import validate
from lib.inference.settings import TrackSettings
from lib.runtime.files import file_sha256, write_text
from lib.runtime.json_text import parse_json

RECORD = "network.json"
AGAIN = "export it again with tracking/export_model.py"

Runtime = Literal["onnx", "openvino"]
ExportPrecision = Literal["fp32", "fp16", "bf16", "int8"]

# The library that runs each.
LIBRARIES: dict[Runtime, str] = {"onnx": "onnxruntime", "openvino": "openvino"}
# The files of a network's halves, encode and find; OpenVINO has the weights of each in a second one.
NETWORK_FILES: dict[Runtime, tuple[str, str]] = {
    "onnx": ("encode.onnx", "find.onnx"),
    "openvino": ("encode.xml", "find.xml"),
}


class ExportError(ValueError):
    """An export that cannot be made, or an exported network that cannot be used; one line with the remedy."""


class Origin(Section):
    """The origin of an exported network: the experiment's name, the sha256 of the weights' file (None for fresh
    weights), the benchmark whose test-time values it has, its resolved model section, and versions of libraries."""

    experiment: str
    checkpoint_sha256: str | None = None
    dataset: str | None = None
    model: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)


class ExportRecord(Section):
    """``network.json``: the files by their sha256, and what a tracker needs beside them: its settings.

    ``batch`` is the number of crops that ``find`` takes; ``encode`` takes one. ``state`` are the arrays between them,
    each with its ``shape`` without the batch axis and numpy's name of its ``dtype``. ``parity`` is the summary of the
    comparison at the export (``lib.export.parity.ParityReport``).
    """

    format: Literal[1] = 1
    runtime: Runtime
    precision: ExportPrecision
    batch: PositiveInt
    settings: TrackSettings
    state: tuple[dict[str, Any], ...]
    origin: Origin
    files: dict[str, str]
    parity: dict[str, float] | None = None

    def write(self, folder: Path) -> None:
        """Write it into ``folder``."""
        write_text(folder / RECORD, json.dumps(self.model_dump(mode="json"), indent=1) + "\n")


def read_record(folder: Path) -> ExportRecord:
    """The record of a folder whose files are as they were written.

    Raises ``ExportError`` for a folder that holds no exported network, one of another version, or a damaged one.
    """
    path = folder / RECORD
    if not path.is_file():
        raise ExportError(f"{folder}: holds no exported network ({RECORD} is missing); {AGAIN}")
    try:
        record = validate(ExportRecord, parse_json(path.read_bytes()), "")
    except ValueError as error:
        line = str(error).splitlines()[0]
        raise ExportError(f"{path}: damaged, or of another version ({line}); {AGAIN}") from error
    for name, expected in record.files.items():
        file = folder / name
        if not file.is_file() or file_sha256(file) != expected:
            raise ExportError(f"{file}: missing, or not as it was written (by its sha256 in {RECORD}); {AGAIN}")
    return record
