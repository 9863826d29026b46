"""The floors of lib: which package may import which, and rules of the house that a syntax tree can check."""

import ast
from collections import defaultdict
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
FLOORS = {
    "config": 0,
    "geometry": 1,
    "runtime": 1,
    "data": 2,
    "models": 2,
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


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> list[str]:
    """The names of all modules that a file imports."""
    found = []
    for node in ast.walk(tree(path)):
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


@cache
def classes() -> dict[str, list[ast.ClassDef]]:
    """The classes of lib by name."""
    found = defaultdict(list)
    for path in MODULES:
        for node in ast.walk(tree(path)):
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


def test_modules_import_only_floors_below():
    wrong = []
    for path in MODULES:
        package = path.relative_to(ROOT / "lib").parts[0]
        wrong += [f"{path}: {name}" for name in imports(path) if package != "__init__.py" and forbidden(package, name)]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle():
    """Imports inside functions and for types count too."""
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in MODULES}
    graph = {
        name: {f"{node.module}.{alias.name}" for node in ast.walk(tree(path)) if isinstance(node, ast.ImportFrom)
               for alias in node.names} | set(imports(path))
        for name, path in names.items()
    }  # fmt: skip
    assert len(list(TopologicalSorter({name: used & names.keys() for name, used in graph.items()}).static_order())) > 99


def test_a_family_is_known_to_the_registry_alone():
    """Within lib and the programs; what two families share belongs in layers, backbones or heads."""
    families = [path for path in MODULES if "\nFAMILY = Family(" in path.read_text(encoding="utf-8")]
    named = {f"lib.models.{path.stem}" for path in families}
    assert len(named) > 1
    assert [path.name for path in (*MODULES, *PROGRAMS) if named & set(imports(path))] == []
    assert [path.name for path in (*MODULES, *PROGRAMS) if "lib.models" in imports(path)] == ["registry.py"]


def test_modules_and_public_definitions_have_docstrings():
    missing = []
    for path in (*MODULES, *PROGRAMS):
        module = tree(path)
        if module.body and not ast.get_docstring(module):
            missing.append(str(path))
        owners = [module, *(node for node in module.body if isinstance(node, ast.ClassDef) and node.name[0] != "_")]
        missing += [
            f"{path}: {node.name}"
            for owner in owners
            for node in owner.body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_" and node.name != "forward"
            if not ast.get_docstring(node) and not (isinstance(owner, ast.ClassDef) and overrides(owner, node.name))
        ]
    assert missing == []


def calls(path: Path) -> list[ast.Call]:
    """All calls in a file."""
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]


def test_all_that_is_printed_is_escaped():
    """Names reach a terminal through ``lib.runtime.escapes.show`` alone."""
    paths = [path for path in (*MODULES, *PROGRAMS) if path.name != "escapes.py"]
    assert [str(path) for path in paths for call in calls(path) if ast.unparse(call.func) == "print"] == []


def test_programs_take_paths_as_users_write_them():
    """``--checkpoint=~/a.pth`` reaches a program with its ``~``: ``user_path`` expands it, ``Path`` does not."""
    keywords = [(path.name, keyword) for path in PROGRAMS for call in calls(path) for keyword in call.keywords]
    types = [(name, ast.unparse(keyword.value)) for name, keyword in keywords if keyword.arg == "type"]
    assert [name for name, kind in types if kind == "Path"] == []


def test_every_module_of_lib_is_tested_in_the_folder_of_its_package():
    """Some test there imports it, or has its name."""
    missing = []
    for package in FLOORS:
        tests = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "tests" / package).rglob("test_*.py")}
        for path in (path for path in MODULES if path.is_relative_to(ROOT / "lib" / package) and path.stem[0] != "_"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if not any(f"test_{path.stem}" in file or f"from {name} import" in text for file, text in tests.items()):
                missing.append(name)
    assert missing == []


# What a module holds under the name of its kind: its own log, and the record that registries collect.
RECORDS = {"logger", "DATASET", "FAMILY", "HEAD"}


def test_one_public_name_means_one_thing_in_the_whole_of_lib():
    """Classes, functions and constants of modules; a name that only its own module knows begins with an underscore."""
    places = defaultdict(list)
    for path in MODULES:
        for node in tree(path).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                places[node.name].append(path.stem)
            for target in getattr(node, "targets", [getattr(node, "target", None)]):
                names = getattr(target, "elts", [target])
                for name in {each.id for each in names if isinstance(each, ast.Name)}:
                    places[name].append(path.stem)
    public = {name: files for name, files in places.items() if name[0] != "_" and name not in RECORDS}
    assert "Sequence" in public
    assert {name: files for name, files in public.items() if len(files) > 1} == {}
