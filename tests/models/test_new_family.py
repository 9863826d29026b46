"""A family is one file and one name in the registry. That of docs/extending.md passes the tests of every family."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lib.config.paths import REPOSITORY
from lib.config.yaml12 import read_yaml, to_yaml

PAGE = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
[MODULE] = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
TESTS = (
    "models/test_registry.py",
    "models/test_gradients.py",
    "experiment/test_families.py",
    "export/test_exporting.py",
)


@pytest.mark.slow
def test_the_family_of_the_page_passes_the_tests_over_all_families(tmp_path: Path):
    for folder in ("lib", "tests", "experiments"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    (tmp_path / "lib" / "models" / "toy.py").write_text(MODULE, encoding="utf-8")
    registry = tmp_path / "lib" / "models" / "registry.py"
    text = registry.read_text(encoding="utf-8")
    for named in ("from lib.models import ", "for module in ("):
        assert text.count(named) == 1
        text = text.replace(named, f"{named}toy, ")
    registry.write_text(text, encoding="utf-8")
    tree = read_yaml(REPOSITORY / "experiments" / "ostrack_tiny.yaml")
    tree["model"] = {"name": "toy", **{key: tree["model"][key] for key in ("pretrained", "backbone", "head")}}
    (tmp_path / "experiments" / "toy_tiny.yaml").write_text(to_yaml(tree), encoding="utf-8")

    tests = [str(tmp_path / "tests" / test) for test in TESTS]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "not gpu",
        "-k",
        "toy and not openvino",
        *tests,
    ]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-1000:]
    passed = int(re.search(r"(\d+) passed", ended.stdout)[1])
    assert passed > 20, ended.stdout
