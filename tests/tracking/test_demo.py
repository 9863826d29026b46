"""The demo run for real: its end and its faults. Its page, and SIGTERM: ``test_demo_page.py``."""

import signal
from pathlib import Path

import pytest


@pytest.mark.slow
def test_no_upload_outlives_its_demo_for_long(serve, run):
    """A killed demo leaves its uploads to the next one, which removes them, refuses its port to a third and ends."""
    with serve() as killed:
        assert killed.post("/api/clip") == 200
        killed.process.kill()
        killed.process.wait(timeout=60)
        assert [path.name for path in killed.uploads] == ["source"]
    with serve() as demo:
        assert demo.uploads == []
        assert demo.post("/api/clip") == 200
        assert len(demo.uploads) == 1
        refused = run("demo.py", "--port", demo.port, "--no-browser", "--checkpoint", demo.process.args[3])
        assert refused.error.startswith(f"--host 127.0.0.1 --port {demo.port}: Address already in use")
        demo.process.send_signal(signal.SIGINT)
        _, err = demo.process.communicate(timeout=60)
        assert (demo.process.returncode, err) == (130, "stopped; the uploads are removed\n")
        assert demo.uploads == []


@pytest.mark.parametrize("words", [("--limit", "0"), ("--port", "-1"), ("--port", "x"), ("--unknown",)])
def test_wrong_arguments_are_exit_code_2(call, words: tuple[str, ...]):
    assert call("demo.py", *words).code == 2


def test_without_its_libraries_the_line_names_the_extra(call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ended = call("demo.py")
    assert (ended.code, ended.err) == (1, "error: starlette and uvicorn not installed; pip install -e .[demo]\n")


def test_without_a_tracker_the_line_names_the_options(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRACKING_OUTPUT", str(tmp_path))
    monkeypatch.setattr("lib.config.paths.SHIPPED_WEIGHTS", tmp_path)
    monkeypatch.setenv("TRACKING_PRETRAINED_MODELS", str(tmp_path))
    ended = call("demo.py")
    assert ended.code == 1
    assert ended.err.startswith("error: no tracker at hand: ")
