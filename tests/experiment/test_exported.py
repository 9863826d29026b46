"""test.py --network: an exported network is tested like a checkpoint, and without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
# A network that finds its target where it was, in place of the one that ``open_network`` opens.
PROGRAM = """
import json, runpy, sys, types
import numpy as np
sys.modules["torch"] = None
from lib.inference.network import Found
from lib.inference.settings import TrackSettings

class Still:
    suggested_batch, device = 4, "cpu"
    def __init__(self, folder):
        content = json.loads((folder / "network.json").read_text())
        self.name, self.batch = content["name"], content["batch"]
        self.settings = TrackSettings.model_validate(content["settings"])
    def encode(self, crops, boxes):
        return (np.array(boxes),)
    def find(self, state, crops):
        size = state[0][: len(crops), 2:] * self.settings.template.factor / self.settings.search.factor
        boxes = np.concatenate([np.full_like(size, 0.5), size], axis=1)
        return Found(boxes, np.full(len(crops), 0.25, np.float32), np.zeros(len(crops), np.int64))
    def blank(self, state, slots):
        return tuple(np.zeros((slots, *leaf.shape[1:]), leaf.dtype) for leaf in state)
    def put(self, states, slot, state):
        for leaf, row in zip(states, state):
            leaf[slot] = row[0]

module = types.ModuleType("lib.export.exported")
module.open_network = Still
sys.modules["lib.export.exported"] = module
sys.argv[0] = "tracking/test.py"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    settings = {"template": {"size": 32, "factor": 2.0}, "search": {"size": 64, "factor": 3.0}}
    content = {"name": "toy", "batch": 2, "settings": settings}
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "network.json").write_text(json.dumps(content))
    return tmp_path / "exported"


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(toy_got10k: Path, tmp_path: Path, folder: Path) -> Run:
    """``(*words)``: the program with this network on the toy benchmark, to its end."""
    (tmp_path / "paths.yaml").touch()
    own = {
        "PATHS": tmp_path / "paths.yaml",
        "DATA_GOT10K": toy_got10k,
        "OUTPUT": tmp_path / "output",
        "CACHE": tmp_path / "cache",
    }
    variables = os.environ | {f"TRACKING_{name}": str(value) for name, value in own.items()}

    def ran(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", PROGRAM, "--network", str(folder), "--dataset", "got10k_val", *words]
        return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120)

    return ran


def test_an_exported_network_is_tested_and_scored_without_torch(
    run: Run, folder: Path, tmp_path: Path, toy_got10k: Path
) -> None:
    ended = run("--batch", "2", "--sequence", "GOT-10k_Val_000001")
    assert ended.returncode == 0, ended.stderr
    assert f"{folder}\nsequences: 1 tracked, 0 kept, 0 failed\n" in ended.stdout
    [results] = (tmp_path / "output" / "toy" / "results" / "got10k_val").iterdir()
    assert results.name.startswith("exported-")
    manifest = json.loads((results / "manifest.json").read_text())
    assert manifest["settings"]["search"]["factor"] == 3
    assert "torch" not in manifest["runs"][0]["versions"]
    given = np.loadtxt(toy_got10k / "val" / "GOT-10k_Val_000001" / "groundtruth.txt", delimiter=",")[0]
    boxes = np.loadtxt(results / "GOT-10k_Val_000001.txt", delimiter=",")
    np.testing.assert_allclose(boxes, np.tile(given, (20, 1)), atol=1)  # its crops have whole sides

    # Another network in the folder has results of its own, and so has the same one under another name.
    assert "1 tracked, 1 kept" in run().stdout
    file = folder / "network.json"
    file.write_text(file.read_text().replace('"factor": 3.0', '"factor": 4.0'))
    assert "2 tracked, 0 kept" in run().stdout
    assert "2 tracked, 0 kept" in run("--name", "other").stdout
    assert (tmp_path / "output" / "other").exists()


@pytest.mark.parametrize(("words", "code", "line"), [
    (["--batch", "4"], 1, "error: --batch 4: {} was exported for batches of 2; leave --batch out, or export it with"),
    (["--device", "cuda"], 1, "error: --device cuda: exported networks run on the CPU; leave it out"),
    (["--config", "grm_tiny"], 2, "test.py: error: --network has its settings with it; leave out --config, "),
    (["test.tracker.window=none"], 2, "test.py: error: --network has its settings with it; leave out --config, "),
])  # fmt: skip
def test_what_does_not_go_with_it_is_one_line(run: Run, folder: Path, words: list[str], code: int, line: str) -> None:
    ended = run(*words)
    assert ended.returncode == code
    assert ended.stdout == ""
    assert ended.stderr.splitlines()[-1].startswith(line.format(folder))
