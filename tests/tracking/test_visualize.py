"""visualize.py: the command of docs/visualize.md is run for real, and mistakes are refused in one line."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_command_of_the_page_runs(run, tmp_path: Path):
    page = (ROOT / "docs" / "visualize.md").read_text(encoding="utf-8")
    program, *words = shlex.split(re.search(r"^python tracking/(visualize.py .*)$", page, re.MULTILINE)[1])
    ended = run(program, *(str(ROOT / word) if word == "docs/clip.mp4" else word for word in words), "--out", tmp_path)
    assert (ended.code, ended.errors, ended.out) == (0, [], f"{tmp_path / 'decisions.png'}\n")
    assert (tmp_path / "decisions.png").stat().st_size > 50_000


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("docs/clip.mp4 --frames 1", 2, "name a video and its target with --box"),
        ("--dataset got10k_val --frames 1", 2, "--dataset and --sequence go together"),
        ("docs/clip.mp4 --box 1,1,9,9 --frames first", 1, "error: --frames first: write numbers"),
        ("docs/none.mp4 --box 1,1,9,9 --frames 1", 1, "docs/none.mp4: no such video"),
        ("docs/clip.mp4 --box 1,1,9,9 --frames 1 --maps division", 1, "lite has no map 'division'; it has scores"),
    ],
)
def test_mistakes_are_one_line(call, words: str, code: int, message: str):
    ended = call("visualize.py", *(str(ROOT / word) if word == "docs/clip.mp4" else word for word in words.split()))
    assert ended.code == code and message in ended.errors[-1]
