"""The list of trackers, and opening and measuring one."""

from pathlib import Path

import pytest
from toy_demo import write_run

from lib.config.paths import REPOSITORY, Paths
from lib.export.record import ExportRecord, Origin
from lib.geometry.crop import CropConfig
from lib.inference.settings import TrackSettings
from lib.programs.demo import trackers as module
from lib.programs.demo.trackers import Trackers, find_trackers
from lib.programs.tracking import SHIPPED


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(output=tmp_path / "output", pretrained_models=tmp_path / "weights", cache=tmp_path / "cache")


def test_runs_are_listed_and_the_shipped_weights_first(paths: Paths):
    with pytest.raises(ValueError, match="^no tracker at hand: .*--config, --checkpoint or --network$"):
        find_trackers(paths)
    file = write_run(paths.output)
    assert [(choice.label, choice.word) for choice in find_trackers(paths)] == [("toy", {"checkpoint": file})]
    paths.pretrained_models.mkdir()
    (paths.pretrained_models / "lite.safetensors").touch()
    assert [(choice.label, choice.detail) for choice in find_trackers(paths)] == [
        (SHIPPED, "shipped weights"),
        ("toy", "run"),
    ]


def test_named_trackers_come_first_and_once(paths: Paths):
    file = write_run(paths.output)
    other = write_run(paths.output, "other")
    config = str(paths.output / "toy.yaml")
    named = find_trackers(paths, configs=[config], checkpoints=[file])
    assert [choice.label for choice in named] == ["toy", "toy", "other"]
    assert [choice.word for choice in named] == [{"config": config}, {"checkpoint": file}, {"checkpoint": other}]


def test_an_exported_network_is_found_and_opened(paths: Paths):
    paths.pretrained_models.mkdir()
    folder = paths.pretrained_models / "small"
    folder.symlink_to(REPOSITORY / "pretrained_models" / SHIPPED)
    (choice,) = find_trackers(paths)
    assert (choice.label, choice.detail, choice.word) == (SHIPPED, "exported onnx fp32", {"network": folder})
    assert Trackers(paths, [choice]).open(0).name == SHIPPED


def test_exports_are_found_where_the_program_writes_them(paths: Paths):
    """``export_model.py`` writes to ``<output>/<experiment>/exported/<form>`` by default."""
    settings = TrackSettings(template=CropConfig(size=16, factor=2.0), search=CropConfig(size=32, factor=4.0))
    folders = [paths.output / "a", paths.output / "b" / "small", paths.output / "toy" / "exported" / "onnx_fp32_1"]
    for folder in folders:
        folder.mkdir(parents=True)
        origin = Origin(experiment=folder.name)
        record = ExportRecord(
            runtime="onnx", precision="fp32", batch=1, settings=settings, state=(), origin=origin, files={}
        )
        record.write(folder)
    assert [choice.word["network"] for choice in find_trackers(paths)] == folders


def test_one_network_is_open_at_a_time_and_opened_once(places: Paths, monkeypatch: pytest.MonkeyPatch):
    choices = find_trackers(places) * 2
    trackers = Trackers(places, choices, "cpu")
    opened = []
    monkeypatch.setattr(module, "open_tracking_network", count(module.open_tracking_network, opened))
    first = trackers.open(0)
    assert trackers.open(0) is first and len(opened) == 1
    trackers.open(1)
    trackers.open(0)
    assert len(opened) == 3
    with pytest.raises(ValueError, match="no tracker has the number 2"):
        trackers.open(2)


def count(function, calls: list):
    def counted(*arguments, **words):
        calls.append(words)
        return function(*arguments, **words)

    return counted
