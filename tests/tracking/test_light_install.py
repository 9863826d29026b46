"""The light install, for users who only track: requirements-track.txt in an environment of its own, without torch."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST = 480e6  # bytes


@pytest.mark.slow
def test_a_video_is_tracked_without_torch_and_other_programs_name_what_they_lack(environment, tmp_path: Path):
    venv, out = tmp_path / "venv", tmp_path / "out"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    python = venv / "bin" / "python"
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", ROOT / "requirements-track.txt"]
    subprocess.run([python, *install], check=True, timeout=600)
    assert sum(file.stat().st_size for file in venv.rglob("*") if file.is_file()) < MOST
    assert subprocess.run([python, "-c", "import torch"], capture_output=True, check=False).returncode == 1
    words = [ROOT / "docs" / "clip.mp4", "--box", "11,71,222,163", "--out", out]
    done = subprocess.run(
        [python, ROOT / "tracking" / "track.py", *words],
        env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    others = [file for file in (ROOT / "tracking").glob("*.py") if file.name != "track.py"]
    for file in others:
        asked = subprocess.run([python, file, "--help"], env=environment | {"PYTHONPATH": str(ROOT)},
                               capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
        missing = re.fullmatch(r"error: \w+ is not installed, .*; pip install -r requirements.txt .*\n", asked.stderr)
        assert missing if asked.returncode else not asked.stderr, asked.stderr
    assert len(json.loads((out / "tracks.json").read_text())["frames"]) == 50
    assert (out / "tracked.mp4").stat().st_size > 10_000
