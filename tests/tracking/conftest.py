"""The programs of tracking/: run for real, or called in this process, where they take milliseconds."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from toy_demo import Running, write_run
from toy_experiment import write_experiment

PROGRAMS = Path(__file__).parents[2] / "tracking"


class Ended(NamedTuple):
    """How a program ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines of stderr, without messages of the log and without the progress bar."""
        return [line for line in self.err.splitlines() if line and line[2:3] != ":" and "frame/s" not in line]

    @property
    def error(self) -> str:
        """The one line of a program that failed."""
        assert (self.code, self.out) == (1, ""), self
        [line] = self.errors
        assert line.startswith("error: ")
        return line.removeprefix("error: ")


class Toy(NamedTuple):
    """A toy experiment's file and the output folder that the environment names."""

    file: Path
    output: Path


Call = Callable[..., Ended]


@pytest.fixture(scope="session")
def environment(toy_got10k: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables under which only the toy set is known, whatever this machine's paths.yaml says."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "paths.yaml").touch()
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TRACKING_") and k not in ("RANK", "WORLD_SIZE")}
    own = {
        "PATHS": folder / "paths.yaml",
        "DATA_GOT10K": toy_got10k,
        "OUTPUT": folder / "output",
        "CACHE": folder / "cache",
    }
    return kept | {"OMP_NUM_THREADS": "1"} | {f"TRACKING_{name}": str(value) for name, value in own.items()}


@pytest.fixture(scope="session")
def start(environment: dict[str, str]) -> Callable[..., subprocess.Popen[str]]:
    """``(program, *words) -> process``: a program started for real, its output in pipes."""

    def started(program: str, *words: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, str(PROGRAMS / program), *map(str, words)]
        return subprocess.Popen(
            command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )

    return started


@pytest.fixture(scope="session")
def serve(
    start: Callable[..., subprocess.Popen[str]], environment: dict[str, str]
) -> Callable[..., AbstractContextManager[Running]]:
    """``(*words) -> block``: within the block, a demo that is run for real on a free port, with one tracker."""
    cache, output = Path(environment["TRACKING_CACHE"]), Path(environment["TRACKING_OUTPUT"])
    checkpoint = write_run(output.parent / "demo")

    @contextmanager
    def served(*words: str) -> Iterator[Running]:
        words = ("--checkpoint", checkpoint, "--port", "0", "--no-browser", "--device", "cpu", *words)
        with start("demo.py", *words) as process:
            try:
                yield Running(process, cache)
            finally:
                if process.poll() is None:
                    process.kill()

    return served


@pytest.fixture(scope="session")
def run(start: Callable[..., subprocess.Popen[str]]) -> Call:
    """``(program, *words) -> Ended``: a program run for real to its end."""

    def ran(program: str, *words: str | Path) -> Ended:
        with start(program, *words) as process:
            out, err = process.communicate(timeout=300)
        return Ended(process.returncode, out, err)

    return ran


@pytest.fixture(scope="session")
def trained(run: Call, environment: dict[str, str]) -> tuple[Toy, Ended]:
    """A run of train.py that nothing interrupts: 2 epochs of 20 steps with one worker."""
    output = Path(environment["TRACKING_OUTPUT"])
    file = write_experiment(output.parent / "toy.yaml", data={"samples_per_epoch": 80, "workers": 1})
    return Toy(file, output), run("train.py", "--config", file)


@pytest.fixture
def call(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys, _one_thread: None) -> Call:
    """``(program, *words) -> Ended``: a program's main() in this process."""
    for name in [name for name in os.environ if name.startswith("TRACKING_") or name in ("RANK", "WORLD_SIZE")]:
        monkeypatch.delenv(name)
    for name in ("TRACKING_PATHS", "TRACKING_DATA_GOT10K", "TRACKING_CACHE"):
        monkeypatch.setenv(name, environment[name])

    def called(program: str, *words: str | Path) -> Ended:
        spec = importlib.util.spec_from_file_location(f"program_{Path(program).stem}", PROGRAMS / program)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [program, *map(str, words)])
        try:
            code = module.main()
        except SystemExit as stop:  # argparse
            code = stop.code
        return Ended(code, *capsys.readouterr())

    return called


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> Toy:
    """A toy of 2 epochs of 2 steps, and an output folder of its own, for programs that are called."""
    monkeypatch.setenv("TRACKING_OUTPUT", str(tmp_path / "output"))
    return Toy(write_experiment(tmp_path / "toy.yaml"), tmp_path / "output")


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """As for the programs run for real."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
