"""The demo run for real: its end and its faults. Its page: ``test_demo_page.py``."""

import signal
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_ends_on_request_and_leaves_no_upload(serve, number: signal.Signals, code: int):
    with serve() as demo:
        assert demo.post("/api/clip") == 200
        assert [path.name for path in demo.uploads] == ["source"]
        demo.process.send_signal(number)
        _, err = demo.process.communicate(timeout=60)
        assert demo.process.returncode == code
        assert err == "stopped; the uploads are removed\n"
        assert demo.uploads == []


@pytest.mark.slow
def test_the_next_start_removes_what_a_killed_one_left(serve):
    with serve() as killed:
        assert killed.post("/api/clip") == 200
        killed.process.kill()
        killed.process.wait(timeout=60)
        assert len(killed.uploads) == 1
        with serve() as demo:
            assert demo.uploads == []


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_line(serve, run):
    with serve() as demo:
        ended = run("demo.py", "--port", demo.port, "--no-browser", "--checkpoint", demo.process.args[3])
    assert ended.code == 1
    (error,) = ended.errors
    assert error.startswith(f"error: --host 127.0.0.1 --port {demo.port}: Address already in use")


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
