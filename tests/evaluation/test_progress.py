"""The progress of a run on a terminal and elsewhere."""

import logging
import re
import sys
from contextlib import closing

from lib.evaluation.running import progress as module
from lib.evaluation.running.progress import RunProgress


def test_a_line_now_and_then_without_a_terminal(monkeypatch, caplog, capsys) -> None:
    caplog.set_level(logging.INFO)
    with closing(RunProgress(frames=1000, sequences=8, kept=3)) as progress:
        progress.show(10)
        progress.settle(150)
        progress.show(50)
        assert caplog.messages == []
        monkeypatch.setattr(module, "LINE_SECONDS", 0.0)
        progress.settle(250)
        progress.show(100)
        progress.show(100)
    [line] = caplog.messages
    assert re.fullmatch(r"500 of 1000 frames \(50%\), 5/8 sequences, [\d.]+ frames/s, 00:00 left", line)
    assert capsys.readouterr() == ("", "")


def test_the_speed_counts_from_the_first_frame(monkeypatch) -> None:
    clock = [100.0]
    with closing(RunProgress(frames=1000, sequences=8, kept=3)) as progress:
        monkeypatch.setattr(progress._bar, "_time", lambda: clock[0])
        progress._bar.start_t = progress._bar.last_print_t = clock[0]
        clock[0] += 20  # the network is built
        progress.show(10)
        clock[0] += 50
        progress.show(500)
        assert "500 of 1000 frames (50%), 3/8 sequences, 10.00 frames/s, 00:50 left" in str(progress._bar)


def test_a_bar_on_a_terminal(monkeypatch, caplog, capsys) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(module, "LINE_SECONDS", 0.0)
    with closing(RunProgress(frames=1000, sequences=8, kept=3)) as progress:
        progress.settle(200)
        progress.settle(200)
        progress.show(100)
    shown = capsys.readouterr().err.split("\r")[-1]
    assert " 50%" in shown and "500/1000" in shown and "frames/s" in shown and "5/8 sequences" in shown
    assert caplog.messages == []


def test_nothing_to_do_shows_nothing(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with closing(RunProgress(frames=0, sequences=3, kept=3)) as progress:
        progress.settle(4)
        progress.show(0)
    assert capsys.readouterr().err == ""
