"""test.py --network: an exported network is tested like a checkpoint, and without torch."""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lib.config.paths import Paths
from lib.evaluation.benchmarks import read_benchmark
from lib.export.exporting import write_network
from lib.export.record import RECORD, Origin, Runtime
from lib.inference.engine import Engine
from lib.programs.testing import run_test
from lib.runtime.program import RequestError
from tests.export.toy_exports import toy_network

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
# ``python tracking/test.py`` where torch cannot be imported.
PROGRAM = """
import runpy, sys
sys.modules["torch"] = None
sys.argv[0] = "tracking/test.py"
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# In pixels of the image, over the 20 frames of the toy set.
BOUND = 0.05


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Runtime], Path]:
    """Exports for a runtime, each made once."""

    @functools.cache
    def exported_for(runtime: Runtime) -> Path:
        folder = tmp_path_factory.mktemp("networks") / "exported"
        folder.mkdir()
        write_network(toy_network(folder.parent), folder, runtime, "fp32", 2, Origin(experiment="toy"))
        return folder

    return exported_for


@pytest.fixture
def exported(request: pytest.FixtureRequest, export: Callable[[Runtime], Path]) -> Path:
    """The export for the runtime that a test chooses, ONNX Runtime by default."""
    return export(getattr(request, "param", "onnx"))


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(toy_got10k: Path, tmp_path: Path, exported: Path) -> Run:
    """``(*words, program)``: the program with this network on the toy benchmark, to its end."""
    (tmp_path / "paths.yaml").touch()
    own = {
        "PATHS": tmp_path / "paths.yaml",
        "DATA_GOT10K": toy_got10k,
        "OUTPUT": tmp_path / "output",
        "CACHE": tmp_path / "cache",
    }
    variables = os.environ | {f"TRACKING_{name}": str(value) for name, value in own.items()}

    def ran(*words: str, program: tuple[str, ...] = ("-c", PROGRAM)) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *program, "--network", str(exported), "--dataset", "got10k_val", *words]
        return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120)

    return ran


@pytest.mark.parametrize("exported", ["onnx", "openvino"], indirect=True)
def test_an_exported_network_tracks_without_torch_as_the_eager_one_does(
    run: Run, exported: Path, tmp_path: Path, toy_got10k: Path, cache: Path
) -> None:
    ended = run("--batch", "2", "--sequence", "GOT-10k_Val_000001")
    assert ended.returncode == 0, ended.stderr
    assert f"{exported}\nsequences: 1 tracked, 0 kept, 0 failed\n" in ended.stdout
    assert "1 tracked, 1 kept" in run().stdout
    [results] = (tmp_path / "output" / "toy" / "results" / "got10k_val").iterdir()
    assert results.name.startswith("exported-")
    manifest = json.loads((results / "manifest.json").read_text())
    assert manifest["settings"]["search"]["factor"] == 3
    assert "torch" not in manifest["runs"][0]["versions"]
    remaining = iter(read_benchmark("got10k_val", toy_got10k, cache).sequences)
    for sequence, track in Engine(toy_network(tmp_path)).run(lambda: next(remaining, None)):
        boxes = np.loadtxt(results / f"{sequence.name}.txt", delimiter=",")
        np.testing.assert_allclose(boxes, track.boxes, rtol=0, atol=BOUND)


def test_processes_of_the_same_command_share_the_sequences(run: Run, exported: Path) -> None:
    ended = run("--processes", "2", "--name", "other", program=("tracking/test.py",))
    assert ended.returncode == 0, ended.stderr
    assert "2 tracked, 0 kept, 0 failed" in ended.stdout
    assert "2 process(es) together" in ended.stdout
    assert "/output/other/results/" in ended.stdout


@pytest.fixture
def paths(toy_got10k: Path, tmp_path: Path) -> Paths:
    return Paths(data={"got10k": toy_got10k}, output=tmp_path / "out", pretrained_models=tmp_path, cache=tmp_path)


@pytest.mark.parametrize(("words", "reason"), [
    ({"batch": 4}, "--batch 4: {} was exported for batches of 2; leave --batch out, or export it with"),
    ({"device": "cuda"}, "--device cuda: exported networks run on the CPU; leave it out"),
    ({"config": "grm_tiny"}, "--network has its settings with it; leave out --config, "),
    ({"compile": True}, "--network has its settings with it; leave out --config, "),
    ({"overrides": ["test.tracker.window=none"]}, "--network has its settings with it; leave out --config, "),
])  # fmt: skip
def test_what_does_not_go_with_it_is_refused(paths: Paths, exported: Path, words: dict, reason: str) -> None:
    with pytest.raises(RequestError) as caught:
        run_test(paths, "got10k_val", network=[exported], **words)
    assert str(caught.value).startswith(reason.format(exported))


def test_an_exported_network_recovers_by_its_own_threshold(paths: Paths, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="exported: tracker: recover: true, but lost_below is not set"):
        run_test(paths, "got10k_val", network=[exported], recover=True)
    folder = tmp_path / "exported"
    shutil.copytree(exported, folder)
    record = json.loads((folder / RECORD).read_text())
    record["settings"]["tracker"]["lost_below"] = 2.0
    (folder / RECORD).write_text(json.dumps(record))
    words = {"dataset": "got10k_val", "network": [folder]}
    texts = [run_test(paths, **words, recover=recover).text() for recover in (False, True)]
    assert ["test.tracker.recover=True" in text for text in texts] == [False, True]
    assert all("2 tracked, 0 kept" in text for text in texts)


def test_a_damaged_folder_is_named(paths: Paths, exported: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / RECORD).write_text("{")
    with pytest.raises(ValueError, match=f"^{damaged / RECORD}: damaged"):
        run_test(paths, "got10k_val", network=[exported, damaged])
