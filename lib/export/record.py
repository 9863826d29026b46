"""The record of an exported network: its files with their checksums, its settings and its origin."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt

from lib.config.schema import ConfigError, Section
from lib.config.validation import validate
from lib.inference.settings import TrackSettings
from lib.runtime.files import file_sha256, write_text
from lib.runtime.json_text import parse_json

FORMAT = 1
RECORD = "network.json"

Runtime = Literal["onnx", "openvino"]
ExportPrecision = Literal["fp32", "fp16", "bf16", "int8"]

# The file of each half of a network; OpenVINO has its weights in a second one.
FILES: dict[Runtime, dict[str, str]] = {
    "onnx": {"encode": "encode.onnx", "find": "find.onnx"},
    "openvino": {"encode": "encode.xml", "find": "find.xml"},
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

    format: Literal[1] = FORMAT
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

    Raises ``ExportError`` for a folder that holds no exported network, one of another format, or a damaged one.
    """
    path = folder / RECORD
    again = "export it again with tracking/export_model.py"
    if not path.is_file():
        raise ExportError(f"{folder}: holds no exported network ({RECORD} is missing); {again}")
    try:
        tree = parse_json(path.read_bytes())
    except ValueError as error:
        raise ExportError(f"{path}: damaged ({error}); {again}") from error
    found = tree.get("format") if isinstance(tree, dict) else None
    if found != FORMAT:
        raise ExportError(
            f"{folder}: an exported network of format {found}, where this version reads {FORMAT}; {again}"
        )
    try:
        record = validate(ExportRecord, tree, str(path))
    except ConfigError as error:
        raise ExportError(f"{str(error).splitlines()[0]}; {again}") from error
    for name, expected in record.files.items():
        file = folder / name
        if not file.is_file():
            raise ExportError(f"{file}: missing; {again}")
        if file_sha256(file) != expected:
            raise ExportError(f"{file}: not as it was written (its sha256 differs from {RECORD}'s); {again}")
    return record
