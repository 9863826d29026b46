"""Tables of a report as text and as JSON."""

import json

import pytest

from lib.profiling.report import MeasuredTable, Report, add_ratios, describe_machine


@pytest.fixture
def report() -> Report:
    rows = [{"form": "eager fp32", "slots": None, "ms": 331.624}, {"form": "onnx", "slots": 8, "ms": 16.5812}]
    add_ratios(rows, "ms")
    tables = {"times": MeasuredTable("Milliseconds a frame", rows), "empty": MeasuredTable("Nothing was measured")}
    return Report({"processor": "A", "torch": "2"}, {"threads": 2}, tables)


def test_tables_with_rows_are_shown(report):
    assert report.text().splitlines() == [
        "processor A; torch 2",
        "threads 2",
        "",
        "Milliseconds a frame",
        "form        slots     ms   x ms",
        "eager fp32      -  331.6  1.000",
        "onnx            8  16.58  0.050",
    ]
    assert Report({"processor": "A"}).text() == "processor A"


def test_the_json_has_all_numbers(report, tmp_path):
    report.write(tmp_path / "new" / "report.json")
    content = json.loads((tmp_path / "new" / "report.json").read_text())
    assert content["machine"]["torch"] == "2" and content["settings"] == {"threads": 2}
    assert content["tables"]["times"]["rows"][1] == pytest.approx(
        {"form": "onnx", "slots": 8, "ms": 16.5812, "x ms": 0.05}
    )


def test_the_machine():
    machine = describe_machine()
    assert {"processor", "cores", "load", "python", "numpy", "torch", "lmdb"} <= machine.keys()
    assert all(isinstance(value, str) and value for value in machine.values())
