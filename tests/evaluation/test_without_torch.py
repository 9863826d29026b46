"""What an exported network is tested with runs where torch is not installed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "lib" / "evaluation").rglob("*.py"))
    if path.name != "__init__.py"
]


def without_torch(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A Python program in which torch cannot be imported."""
    command = [sys.executable, "-c", f'import sys; sys.modules["torch"] = None\n{program}', *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_every_module_of_this_package_is_imported_and_so_is_testing() -> None:
    ended = without_torch(f"import {', '.join(MODULES)}, lib.programs.testing, lib.inference.tracker")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["--dataset", "lasot"], 2)])
def test_the_program_reads_its_arguments(words: list[str], code: int) -> None:
    program = "import runpy; runpy.run_path('tracking/test.py', run_name='__main__')"
    ended = without_torch(program, *words)
    assert ended.returncode == code, ended.stderr
    assert "--network" in ended.stdout + ended.stderr
