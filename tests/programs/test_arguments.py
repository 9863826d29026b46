"""The arguments that programs share."""

from pathlib import Path

import pytest

from lib.config.paths import load_paths
from lib.programs.arguments import Parser, at_least


def test_options_may_stand_between_overrides_and_paths_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "paths.yaml").write_text("output: runs\n")
    parser = Parser("text")
    for add in (parser.config, parser.checkpoint, parser.device, parser.paths, parser.overrides):
        add()
    words = ["--config", "a", "seed=1", "--paths", str(tmp_path / "paths.yaml"), "--checkpoint", "~/b.pth", "seed=2"]
    monkeypatch.setattr("sys.argv", ["program", *words])
    assert parser.parse() == {
        "config": "a",
        "checkpoint": Path("~/b.pth").expanduser(),
        "device": "auto",
        "paths": load_paths(tmp_path / "paths.yaml"),
        "overrides": ["seed=1", "seed=2"],
    }


@pytest.mark.parametrize("word", ["0", "-1", "x", "1.5"])
def test_a_number_below_its_bound_is_refused(word: str, monkeypatch: pytest.MonkeyPatch, capsys):
    parser = Parser(None)
    parser.add_argument("--batch", type=at_least(1))
    monkeypatch.setattr("sys.argv", ["program", f"--batch={word}"])
    with pytest.raises(SystemExit, match="2"):
        parser.parse()
    assert "argument --batch: " in capsys.readouterr().err
