"""The lines of Python in the README and on the page of one's own video are the same, and they run."""

import re
from pathlib import Path

import pytest
from eager_networks import network_of
from families import fresh, tiny

from lib.data.decoding.video import VideoReader

ROOT = Path(__file__).parents[2]


def block(page: str) -> str:
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    return code


@pytest.mark.slow
def test_the_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    experiment = tiny("grm", None)
    network = network_of(fresh(experiment), experiment.template, experiment.search, experiment.test.tracker)
    monkeypatch.setattr("lib.programs.tracking.open_tracking_network", lambda: network)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "clip.mp4").symlink_to(ROOT / "docs" / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    code = block("README.md")
    assert code == block("docs/own_video.md")
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 50 and lines[0] == "0.00 s: box [ 11.  71. 222. 163.], score 1.00, lost False"
    with VideoReader(tmp_path / "output" / "horse.mp4") as video:
        assert (video.width, video.height, video.length) == (560, 314, 50)
