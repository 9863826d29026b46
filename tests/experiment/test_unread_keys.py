"""A key of the configuration that nothing reads is a defect: each must be read somewhere beyond its own class."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

import pytest
from pydantic import Field

from lib.config.paths import REPOSITORY, Paths
from lib.config.schema import Section
from lib.experiment.config import ExperimentConfig

LIB = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted((REPOSITORY / "lib").rglob("*.py"))]


def sections(annotation: Any) -> set[type[Section]]:
    """A section and all that its fields lead to, or those inside another type."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return {annotation}.union(*(sections(field.annotation) for field in annotation.model_fields.values()))
    return set().union(*map(sections, get_args(annotation)))


def attributes_read(tree: ast.AST, beyond: str) -> Iterable[str]:
    """The attributes that are read outside classes of the name ``beyond``; those of ``self`` are its own class's."""
    if isinstance(tree, ast.ClassDef) and tree.name == beyond:
        return
    of_self = isinstance(tree, ast.Attribute) and isinstance(tree.value, ast.Name) and tree.value.id == "self"
    if isinstance(tree, ast.Attribute) and isinstance(tree.ctx, ast.Load) and not of_self:
        yield tree.attr
    for child in ast.iter_child_nodes(tree):
        yield from attributes_read(child, beyond)


def unread(section: type[Section], modules: Iterable[ast.Module]) -> set[str]:
    """The fields of a section that no module reads."""
    read = {name for module in modules for name in attributes_read(module, section.__name__)}
    return set(section.model_fields) - read


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


@pytest.mark.parametrize(
    "section",
    sorted(sections(ExperimentConfig) | sections(Paths), key=lambda section: section.__name__),
    ids=lambda section: section.__name__,
)
def test_every_key_is_read(section):
    assert unread(section, LIB) == set()
