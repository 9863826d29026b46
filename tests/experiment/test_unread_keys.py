"""A key of the configuration that nothing reads is a defect: each must be read beyond its own class, or by one of its
public methods, which others call."""

import ast
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from lib.config.paths import REPOSITORY, Paths
from lib.config.schema import Section
from lib.experiment.config import ExperimentConfig


def sections(annotation: Any) -> set[type[Section]]:
    """A section and all that its fields lead to, or those inside another type."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return {annotation}.union(*(sections(field.annotation) for field in annotation.model_fields.values()))
    return set().union(*map(sections, get_args(annotation)))


def attributes_read(tree: ast.AST, owner: str = "") -> Iterator[tuple[str, str]]:
    """Each attribute that is read, with the name of the class (or ""), whose body reads it; of those of ``self`` only
    the ones in a public method, with ``Class.method``. The names in an objective's ``terms`` count: it reads their
    weights by name."""
    if isinstance(tree, ast.ClassDef):
        owner = tree.name
    elif isinstance(tree, ast.FunctionDef) and owner and "." not in owner and tree.name[0] != "_":
        owner += f".{tree.name}"
    if isinstance(tree, ast.Attribute) and isinstance(tree.ctx, ast.Load):
        of_self = isinstance(tree.value, ast.Name) and tree.value.id == "self"
        if not of_self:
            yield tree.attr, owner.partition(".")[0]
        elif "." in owner:
            yield tree.attr, owner
    if isinstance(tree, ast.ClassDef) and owner.endswith("Objective"):
        assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
        terms = [node.value for node in assigned if ast.unparse(node.targets[0]) == "terms"]
        yield from ((name, owner) for value in terms for name in ast.literal_eval(value))
    for child in ast.iter_child_nodes(tree):
        yield from attributes_read(child, owner)


def unread(section: type[Section], modules: Iterable[ast.Module]) -> set[str]:
    """The fields of a section that no module reads outside of the section's class."""
    return unread_among(section, {read for module in modules for read in attributes_read(module)})


def unread_among(section: type[Section], read: set[tuple[str, str]]) -> set[str]:
    """The fields of a section that are not among the attributes read outside of its class or in its public methods."""
    others = {name for name, owner in read if owner != section.__name__ and "." not in owner}
    own = {name for name, owner in read if owner.startswith(f"{section.__name__}.")}
    return set(section.model_fields) - others - own


class Inner(Section):
    used: int = 1
    forgotten: int = 2


class Outer(Section):
    kind: Literal["outer"] = "outer"
    parts: dict[str, tuple[Annotated[Inner | None, Field()], ...]] = {}


INVENTED = ast.parse("""
class Inner:
    forgotten: int = 2
    def _check(self, other):
        return self.forgotten + other.forgotten

class Other:
    def run(self, outer):
        outer.forgotten = self.forgotten
        return outer.parts["a"][0].used
""")


def test_the_walk_finds_every_section():
    assert sections(Outer) == {Outer, Inner}
    names = {section.__name__ for section in sections(ExperimentConfig)}
    assert names >= {
        "ExperimentConfig", "GRMConfig", "ViTConfig", "DivisionConfig", "HeadConfig", "CropConfig", "DataConfig",
        "SourceConfig", "JitterConfig", "ObjectiveConfig", "MLPObjectiveConfig", "TrainConfig", "OptimizerConfig",
        "TestingConfig", "StepScheduleConfig", "CosineScheduleConfig", "TrackerConfig",
    }  # fmt: skip


def test_a_key_that_only_its_own_class_reads_or_another_writes_is_found():
    assert unread(Inner, [INVENTED]) == {"forgotten"}
    assert unread(Outer, [INVENTED]) == {"kind"}
    assert unread(Inner, [INVENTED, ast.parse("print(inner.forgotten)")]) == set()
    method = "class {}:\n    def half(self):\n        return self.forgotten / 2"
    assert unread(Inner, [INVENTED, ast.parse(method.format("Inner"))]) == set()
    assert unread(Inner, [INVENTED, ast.parse(method.format("Another"))]) == {"forgotten"}
    assert unread(Inner, [INVENTED, ast.parse("class BoxObjective:\n    terms = ('forgotten',)")]) == set()


def test_every_key_is_read():
    modules = [ast.parse(path.read_text(encoding="utf-8")) for path in (REPOSITORY / "lib").rglob("*.py")]
    read = {attribute for module in modules for attribute in attributes_read(module)}
    found = sections(ExperimentConfig) | sections(Paths)
    assert {section.__name__: unread_among(section, read) for section in found if unread_among(section, read)} == {}
