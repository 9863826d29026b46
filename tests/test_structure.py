"""The floors of lib: who may import whom, and a few rules of the house that a syntax tree can hold."""

from __future__ import annotations

import ast
import functools
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {
    "config": 0,
    "geometry": 1,
    "runtime": 1,
    "data": 2,
    "models": 2,
    "losses": 3,
    "inference": 3,
    "visualization": 3,
    "training": 4,
    "evaluation": 4,
    "export": 4,
    "experiment": 5,
    "programs": 6,
    "profiling": 6,
}
MODULES = sorted((ROOT / "lib").rglob("*.py"))
PROGRAMS = sorted((ROOT / "tracking").glob("*.py"))


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append(node.module)
    return found


def forbidden(package: str, imported: str) -> bool:
    """Whether a module of ``lib.<package>`` may not import the module named ``imported``."""
    parts = imported.split(".")
    if parts[0] == "tracking":
        return True
    return parts[0] == "lib" and parts[1] != package and FLOORS[parts[1]] >= FLOORS[package]


@functools.cache
def classes() -> dict[str, list[ast.ClassDef]]:
    """The classes of lib by name."""
    found = defaultdict(list)
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(node)
    return found


def overrides(node: ast.ClassDef, method: str) -> bool:
    """Whether a base class in lib defines the method, and so has its docstring."""
    bases = [parent for base in node.bases if isinstance(base, ast.Name) for parent in classes()[base.id]]
    return any(method in {n.name for n in base.body if isinstance(n, ast.FunctionDef)} or overrides(base, method)
               for base in bases)  # fmt: skip


def test_the_rule_itself():
    assert forbidden("models", "lib.data.types")
    assert forbidden("config", "tracking.train")
    assert not forbidden("models", "lib.geometry.grids")
    assert not forbidden("models", "lib.models.base")
    assert not forbidden("models", "torch")


def test_every_package_has_a_floor_and_an_empty_init():
    packages = {path.name for path in (ROOT / "lib").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert packages == set(FLOORS)
    assert [path for path in MODULES if path.name == "__init__.py" and path.read_text()] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_import_only_floors_below(path):
    package = path.relative_to(ROOT / "lib").parts[0]
    if package == "__init__.py":
        return
    assert [name for name in imports(path) if forbidden(package, name)] == []


def test_a_family_is_known_to_the_registry_alone():
    """Within lib and the programs; what two families share belongs in layers, backbones or heads."""
    families = [path for path in MODULES if "\nFAMILY = Family(" in path.read_text(encoding="utf-8")]
    named = {f"lib.models.{path.stem}" for path in families}
    assert len(named) > 1
    assert [path.name for path in (*MODULES, *PROGRAMS) if named & set(imports(path))] == []
    assert [path.name for path in (*MODULES, *PROGRAMS) if "lib.models" in imports(path)] == ["registry.py"]


@pytest.mark.parametrize("path", [*MODULES, *PROGRAMS], ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_public_definitions_say_what_they_are(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not tree.body:
        return
    assert ast.get_docstring(tree), "no module docstring"
    public = [
        node
        for parent in (tree, *(n for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")))
        for node in parent.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
        if not (isinstance(parent, ast.ClassDef) and overrides(parent, node.name))
    ]
    assert [node.name for node in public if not ast.get_docstring(node) and node.name != "forward"] == []


@pytest.mark.parametrize("path", [*MODULES, *PROGRAMS], ids=lambda path: str(path.relative_to(ROOT)))
def test_all_that_is_printed_is_escaped(path):
    """Names reach a terminal through ``lib.runtime.escapes.show`` alone."""
    if path.name == "escapes.py":
        return
    calls = [node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert "print" not in [ast.unparse(call) for call in calls]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_programs_take_paths_as_users_write_them(path):
    """``--checkpoint=~/a.pth`` reaches a program with its ``~``: ``user_path`` knows it, ``Path`` does not."""
    types = [
        keyword.value.id
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "type" and isinstance(keyword.value, ast.Name)
    ]
    assert "Path" not in types


def test_every_module_of_lib_has_a_test_file_or_is_reached_by_one():
    """Tests mirror lib: each module is imported by some test of its own package's folder."""
    tests = {package: list((ROOT / "tests" / package).rglob("test_*.py")) for package in FLOORS}
    imported = {package: {name for test in files for name in imports(test)} for package, files in tests.items()}
    missing = []
    for path in MODULES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        if path.name == "__init__.py":
            continue
        named = any(f"test_{parts[-1]}" in test.name for test in tests[parts[1]])
        if not named and ".".join(parts) not in imported[parts[1]]:
            missing.append(".".join(parts))
    assert missing == []
