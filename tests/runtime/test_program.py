"""How a program begins and ends: no traceback, one clear line, a code."""

import ast
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lib.runtime.program import RequestError, TextResult, program
from lib.runtime.stop import Terminated

PROGRAMS = sorted((Path(__file__).parents[2] / "tracking").glob("*.py"))


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("seed: is -1\nlr: is 0"), 1, "error: seed: is -1\nerror: lr: is 0\n"),
        (RequestError("--a goes with --b"), 2, "error: --a goes with --b\n"),
        (KeyboardInterrupt(), 130, "stopped; all is kept\n"),
        (KeyboardInterrupt("stopped after 3 frames"), 130, "stopped after 3 frames\n"),
        (Terminated(), 143, "stopped; all is kept\n"),
        (FileNotFoundError(2, "No such file or directory", "/x"), 1, "error: /x: No such file or directory\n"),
        (OSError("without a number"), 1, "error: without a number\n"),
        (
            ModuleNotFoundError(name="torch"),
            1,
            "error: torch is not installed, which this program needs; "
            "pip install -r requirements.txt && pip install --no-deps -e .\n",
        ),
    ],
)
def test_each_way_to_end_has_a_code_and_a_line(capsys, error, code, line):
    @program("stopped; all is kept")
    def main() -> int:
        raise error

    assert main() == code
    assert capsys.readouterr() == ("", line)


def test_a_module_of_this_project_that_is_missing_is_a_traceback():
    with pytest.raises(ModuleNotFoundError, match="No module named 'lib.nowhere'"):
        program()(lambda: __import__("lib.nowhere"))()


def test_wrong_ranks_are_one_line(capsys, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for text, line in (
        ("first", "error: RANK: got 'first'; correct or unset this environment variable\n"),
        ("1", "error: RANK: got 1, but WORLD_SIZE is 1; correct or unset these variables\n"),
        ("", ""),
    ):
        monkeypatch.setenv("RANK", text)
        assert program()(TextResult)() == bool(line)
        assert capsys.readouterr().err == line


@pytest.mark.parametrize("length", [1, 99_999])
@pytest.mark.parametrize("main", ["lambda: TextResult(text)", "lambda: show(text) or 0"])
def test_what_a_full_disk_does_not_take_is_one_line(main, length):
    text = (
        "from lib.runtime.escapes import show; from lib.runtime.program import TextResult, program; "
        f"text = 'a' * {length}; raise SystemExit(program()({main})())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", text]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert ended.returncode == 1
    assert ended.stderr == "error: No space left on device; make room there, then run the same command again\n"


def test_a_result_is_printed_and_decides_the_code(capsys):
    assert program()(lambda: TextResult("all tracked"))() == 0
    assert program()(lambda: TextResult("one failed", good=False))() == 1
    assert program()(lambda: TextResult())() == 0
    assert program()(lambda: 5)() == 5
    assert capsys.readouterr() == ("all tracked\none failed\n", "")


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(errno.EROFS, "output and cache in paths.yaml"), (errno.EACCES, "right to write"), (errno.ENOSPC, "make room")],
)
def test_a_refusal_of_the_disk_has_a_remedy(capsys, code, remedy):
    def main() -> int:
        raise OSError(code, os.strerror(code), "/out/config.yaml")

    assert program()(main)() == 1
    line = capsys.readouterr().err
    assert line.startswith(f"error: /out/config.yaml: {os.strerror(code)}; ")
    assert remedy in line and line.count("\n") == 1


def test_a_file_of_too_many_levels_is_one_line(capsys):
    def main() -> int:
        def walk(part: list) -> list:
            return [walk(inner) for inner in part]

        circle: list = []
        circle.append(circle)
        return len(walk(circle))

    assert program()(main)() == 1
    assert capsys.readouterr().err == "error: a file that was read is nested too deeply\n"


def test_a_bug_keeps_its_traceback():
    with pytest.raises(KeyError):
        program()(lambda: {}[1])()


START = """
import os, signal
from lib.runtime.program import starting
{before}
with starting():
    {within}
assert signal.getsignal(signal.SIGINT) is {handler}
"""
INTERRUPT = "signal.raise_signal(signal.SIGINT)"
DEFAULT = "signal.default_int_handler"


@pytest.mark.parametrize(
    ("before", "within", "handler", "code"),
    [
        ("", "pass", DEFAULT, 0),
        ("", f"try: {INTERRUPT}\n    except BaseException: pass", DEFAULT, 130),
        ("signal.signal(signal.SIGINT, signal.SIG_IGN)", INTERRUPT, "signal.SIG_IGN", 0),  # as nohup and & have it
    ],
)
def test_ctrl_c_while_a_program_imports_is_silent(before, within, handler, code):
    text = START.format(before=before, within=within, handler=handler)
    ended = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout + ended.stderr) == (code, "")


CLOSED = """
import os, sys
from lib.runtime.program import starting
with starting():
    pass
file = open(sys.argv[1], "w")
assert file.fileno() > 2
print("lost", file=sys.stderr)
os.write(2, b"lost too")
print("shown")
"""


@pytest.mark.parametrize(("redirection", "out"), [("2>&-", "shown\n"), ("<&- 2>&-", "shown\n"), ("<&- >&- 2>&-", "")])
def test_a_closed_stream_is_the_null_device_and_its_number_no_other_files(tmp_path, redirection, out):
    file = tmp_path / "log.jsonl"
    command = ["sh", "-c", f'exec "$0" "$@" {redirection}', sys.executable, "-c", CLOSED, str(file)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, out, "")
    assert file.read_text() == ""


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_every_program_begins_and_ends_like_this(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (main,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main")
    assert [ast.unparse(decorator).partition("(")[0] for decorator in main.decorator_list] == ["program"]
    outside = [node.module for node in tree.body if isinstance(node, ast.ImportFrom) and node.module.startswith("lib.")]
    assert outside == ["lib.runtime.program"], "imports that take time belong under starting()"
    names = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    assert not {"torch", "numpy", "cv2"} & set(names)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train.py", "track.py"])
def test_ctrl_c_at_any_moment_of_the_start_leaves_no_traceback(name):
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", "import lib.runtime.program"], check=True)
    start = 2 * (time.monotonic() - begun)  # before ``starting`` is reached, the traceback is Python's own
    for moment in (start, start + 0.5, start + 1.5):
        command = [sys.executable, str(PROGRAMS[0].with_name(name))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
            err = process.communicate(timeout=60)[1]
        # 2, or death by the signal: argparse was faster, and Python was ending.
        assert process.returncode in (130, 2, 0, -signal.SIGINT), err
        assert "Traceback" not in err and "Exception" not in err
