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
def test_every_module_of_this_package_is_imported_and_the_program_starts() -> None:
    ended = without_torch(f"import {', '.join(MODULES)}, lib.programs.testing, lib.inference.tracker")
    assert ended.returncode == 0, ended.stderr
    program = "import runpy; runpy.run_path('tracking/test.py', run_name='__main__')"
    ended = without_torch(program, "--help")
    assert ended.returncode == 0 and "--network" in ended.stdout
