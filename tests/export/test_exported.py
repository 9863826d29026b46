"""An exported network answers as the eager one does, without torch; of its folder, what is read is what was written.

One file, so that one worker of pytest makes the exports, which takes seconds.
"""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lib.config.schema import ConfigError
from lib.data.synthetic.scene import PATTERNS, render_scene
from lib.experiment.build import build_tracker
from lib.export import exported as module
from lib.export.exported import ExportedNetwork, check_openvino_precision, open_network
from lib.export.record import RECORD, ExportError, read_record
from lib.inference.network import put
from lib.inference.settings import TrackerConfig
from lib.inference.tracker import Tracker

pytestmark = pytest.mark.slow  # they share exports that take seconds

ROOT = Path(__file__).parents[2]
FRAMES = 12

TRACK = """
import sys
sys.modules["torch"] = None  # an import of it fails
import numpy as np
from lib.export.exported import open_network
from lib.inference.follow import TargetSpec, follow
data = np.load(sys.argv[2])
targets = [TargetSpec(str(number), box) for number, box in enumerate(data["boxes"])]
steps = follow(data["images"], targets, open_network(sys.argv[1], threads=1))
np.save(sys.argv[3], np.stack([[result.box for result in step.results.values()] for step in steps]))
"""


@pytest.fixture(scope="module")
def scene():
    return list(render_scene(np.random.default_rng(1), PATTERNS["val"], FRAMES, 160, 120))


def crops_of(network, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Template crops, boxes in them and search crops of noise."""
    rng = np.random.default_rng(rows)
    sizes = network.settings.template.size, network.settings.search.size
    template, search = (rng.integers(0, 256, (rows, size, size, 3), dtype=np.uint8) for size in sizes)
    return template, rng.uniform(0.2, 0.4, (rows, 4)).astype(np.float32), search


@pytest.mark.parametrize("rows", [1, 3])
def test_rows_are_found_one_by_one_however_many_there_are(network, exported, rows):
    ours = open_network(exported, threads=1)
    template, boxes, search = crops_of(network, rows)
    state = ours.encode(template, boxes)
    for leaf, expected in zip(state, network.encode(template, boxes), strict=True):
        np.testing.assert_allclose(leaf, expected.numpy(), atol=1e-5)
    found, expected = ours.find(state, search), network.find(network.encode(template, boxes), search)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-5)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    assert found.cells.tolist() == expected.cells.tolist()
    # Rows of a larger state, as an engine keeps them; those beyond the crops decide nothing.
    larger: tuple[np.ndarray, ...] = ()
    for row in range(rows):
        larger = put(larger, row, tuple(leaf[row : row + 1] for leaf in state), slots=3)
    assert np.array_equal(ours.find(larger, search).boxes, found.boxes)


def test_several_streams_find_at_once(network, exported):
    ours = open_network(exported, threads=2, streams=2)
    template, boxes, search = crops_of(network, 3)
    state = ours.encode(template, boxes)
    expected = ours.find(state, search)
    crops = [np.ascontiguousarray(np.roll(search, turn, axis=2)) for turn in range(20)]
    alone = [ours.find(state, each).boxes for each in crops]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda each: ours.find(state, each).boxes, crops))
    np.testing.assert_array_equal(together, alone)
    assert not np.array_equal(alone[1], expected.boxes)


@pytest.mark.parametrize("threads", [1, 2])
def test_more_targets_than_the_batch_have_turns(network, exported, threads):
    ours = open_network(exported, threads=threads)
    template, boxes, search = crops_of(network, 8)
    state = ours.encode(template, boxes)
    found = ours.find(tuple(np.concatenate([leaf, leaf]) for leaf in state), search)
    alone = [ours.find(tuple(leaf[row : row + 1] for leaf in state), search[row : row + 1]) for row in range(8)]
    np.testing.assert_allclose(found.boxes, np.concatenate([each.boxes for each in alone]), atol=1e-5)
    np.testing.assert_allclose(found.scores, np.concatenate([each.scores for each in alone]), atol=1e-5)
    assert found.cells.tolist() == [each.cells[0] for each in alone]


def test_a_tracker_is_built_from_the_folder(network, exported, scene):
    trackers = Tracker(network), build_tracker(network=exported)
    for tracker in trackers:
        tracker.init(scene[0].image, scene[0].box)
    for frame in scene[1:]:
        expected, found = (tracker.update(frame.image) for tracker in trackers)
        np.testing.assert_allclose(found.box, expected.box, atol=0.01)
        assert found.score == pytest.approx(expected.score, abs=1e-5)


def test_it_tracks_without_torch(network, exported, scene, tmp_path):
    boxes = np.stack([scene[0].box, scene[0].box + [5, 5, 0, 0]])
    images = np.stack([frame.image for frame in scene])
    np.savez(tmp_path / "video.npz", images=images, boxes=boxes)
    words = [sys.executable, "-c", TRACK, exported, tmp_path / "video.npz", tmp_path / "found.npy"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(list(map(str, words)), capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    found = np.load(tmp_path / "found.npy")
    for target, box in enumerate(boxes):
        tracker = Tracker(network)
        tracker.init(scene[0].image, box)
        expected = np.stack([box, *(tracker.update(frame.image).box for frame in scene[1:])])
        np.testing.assert_allclose(found[:, target], expected, atol=0.01)


def test_lost_targets_are_recovered_only_with_a_threshold(copy):
    with pytest.raises(ConfigError, match=f"^{copy}: tracker: recover: true, but lost_below is not set, .*$"):
        open_network(copy, threads=1, recover=True)
    tree = json.loads((copy / RECORD).read_text())
    tree["settings"]["tracker"]["lost_below"] = 0.3
    (copy / RECORD).write_text(json.dumps(tree))
    plain, recovering = (open_network(copy, threads=1, recover=flag).settings for flag in (False, True))
    assert recovering.tracker == TrackerConfig(**{**plain.tracker.model_dump(), "recover": True})
    assert (recovering.template, recovering.search) == (plain.template, plain.search)


def test_a_missing_library_is_named_with_its_remedy(exported, monkeypatch):
    library = "onnxruntime" if read_record(exported).runtime == "onnx" else "openvino"
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ExportError, match=f"which is not installed; pip install {library}$"):
        open_network(exported)


def test_a_processor_without_bf16_is_refused(openvino_export, monkeypatch):
    core = SimpleNamespace(get_property=lambda device, name: ["FP32", "INT8"])
    monkeypatch.setattr(module, "openvino_core", lambda: core)
    check_openvino_precision("fp32", "folder")
    record = read_record(openvino_export).model_copy(update={"precision": "bf16"})
    with pytest.raises(ExportError, match=r"bf16, which this processor lacks \(FP32, INT8\); export with --precision"):
        ExportedNetwork(openvino_export, record)


def test_a_file_that_the_installed_library_cannot_read_is_one_line(exported, monkeypatch):
    """As of another version of it; each library raises errors of kinds of its own."""

    def fail(*_: object) -> None:
        raise RuntimeError("Exception from model.cc:256\nUnsupported model IR version: 99\n")

    record = read_record(exported)
    monkeypatch.setattr(module, f"_load_{record.runtime}", fail)
    with pytest.raises(ExportError) as caught:
        open_network(exported, threads=1)
    written = record.origin.versions["onnxruntime" if record.runtime == "onnx" else "openvino"]
    assert (
        f"cannot read it (Unsupported model IR version: 99); install the version that wrote it, {written}, or"
        in str(caught.value)
    )


# The folder


@pytest.fixture
def copy(onnx_export, tmp_path) -> Path:
    """A folder of its own to damage."""
    return Path(shutil.copytree(onnx_export, tmp_path / "copy"))


def test_the_record_states_settings_state_files_and_origin(network, openvino_export):
    record = read_record(openvino_export)
    assert record.settings == network.settings
    assert [tuple(leaf.values()) for leaf in record.state] == [([4, 32], "float32"), ([4], "bool")]
    assert record.origin.experiment == "toy"
    assert set(record.origin.versions) == {"python", "torch", "openvino"}
    assert record.parity["same_cell"] == 1 and record.parity["pixels"] < 0.05
    written = {path.name for path in openvino_export.iterdir()}
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
    (copy / RECORD).write_text(json.dumps({**tree, "format": 2, "new": "key"}))
    assert f"{copy / RECORD}: damaged, or of another version (format: got 2; should be 1)" in refused(copy)


@pytest.mark.parametrize("content", ["{", "[1]", '{"format": 1, "runtime": "none"}'])
def test_a_damaged_record_is_refused(copy, content):
    (copy / RECORD).write_text(content)
    assert str(copy) in refused(copy)


def test_a_damaged_or_missing_file_is_refused(copy):
    content = bytearray((copy / "find.onnx").read_bytes())
    content[100] ^= 1
    (copy / "find.onnx").write_bytes(content)
    damaged = f"{copy / 'find.onnx'}: missing, or not as it was written"
    assert damaged in refused(copy)
    (copy / "find.onnx").unlink()
    assert damaged in refused(copy)
