"""What a run shows of itself on a terminal and elsewhere."""

import logging
import sys

import pytest

from lib.evaluation.running import progress as module
from lib.evaluation.running.progress import RunProgress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds, to be set."""
    now = [100.0]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return now


def test_a_line_now_and_then_where_there_is_no_terminal(clock, caplog, capsys) -> None:
    caplog.set_level(logging.INFO)
    with RunProgress(frames=1000, sequences=8, kept=3) as progress:
        clock[0] += 20  # the network is built
        progress.show(10)
        clock[0] += 39
        progress.settle(150)
        progress.show(50)
        assert caplog.messages == []
        clock[0] += 11
        progress.settle(250)
        progress.show(100)
        progress.show(110)
    assert caplog.messages == ["500 of 1000 frames (50%), 5 of 8 sequences, 10.0 frames/s, 00:50 left"]
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(monkeypatch, caplog, capsys) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "LINE_SECONDS", 0.0)
    with RunProgress(frames=1000, sequences=8, kept=3) as progress:
        progress.settle(200)
        progress.settle(200)
        progress.show(100)
    shown = capsys.readouterr().err.split("\r")[-1]
    assert " 50%" in shown and "500/1000" in shown and "frame/s" in shown and "5/8 sequences" in shown
    assert caplog.messages == []


def test_nothing_to_do_shows_nothing(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with RunProgress(frames=0, sequences=3, kept=3) as progress:
        progress.settle(4)
        progress.show(0)
    assert capsys.readouterr().err == ""
