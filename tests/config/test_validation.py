"""Typed sections from trees, and a line for each wrong field."""

import json
from pathlib import Path
from typing import Annotated, Literal, Self

import pytest
from pydantic import Field, field_validator, model_validator

from lib.config.schema import ConfigError, Section
from lib.config.validation import json_schema, validate


class Division(Section):
    threshold: float = 0.5
    softmax: Literal["exact", "published"] = "exact"


class Adaptive(Section):
    name: Literal["adaptive"]
    division: Division = Division()


class Stream(Section):
    name: Literal["one_stream", "two_stream"]
    keep: float

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.keep > 1:
            raise ValueError(f"keep: got {self.keep}; should be 1 or less\nname: got {self.name}; should be another")
        return self


class Source(Section):
    name: str
    weight: float = Field(default=1.0, gt=0)


class Steps(Section):
    kind: Literal["step"]
    drop: int = 3


class Waves(Section):
    kind: Literal["cosine"] = "cosine"
    warmup: float = 0.0


class Experiment(Section):
    schedule: Annotated[Steps | Waves, Field(discriminator="kind")] = Waves()
    model: Annotated[Adaptive | Stream, Field(discriminator="name")]
    data: tuple[Source, ...]
    steps: int = 10
    lr: float = 1e-4
    flip: bool = True
    init_from: Path | None = None
    division: Division | None = None
    group: int | Literal["all"] = "all"
    per_dataset: dict[str, dict[str, float]] = {}
    models: tuple[Annotated[Adaptive | Stream, Field(discriminator="name")], ...] = ()
    either: Division | Stream = Division()
    size: tuple[int, int] = (1, 2)
    even: int = 2

    @field_validator("even")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("should be even")
        return value

    @model_validator(mode="after")
    def _across(self) -> Self:
        if self.steps > 1000:
            raise ValueError(f"steps: got {self.steps}; should be 1000 or less")
        return self


GOOD = {"model": {"name": "adaptive", "division": {"threshold": 1}}, "data": [{"name": "got10k", "weight": 2}]}


def lines_of(changes: dict, overrides: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        validate(Experiment, GOOD | changes, "x.yaml", overrides)
    return str(caught.value).splitlines()


def test_a_good_tree_becomes_typed():
    experiment = validate(Experiment, GOOD | {"init_from": "a/b.pth"}, "x.yaml")
    assert experiment == Experiment(
        model=Adaptive(name="adaptive", division=Division(threshold=1.0)),
        data=(Source(name="got10k", weight=2.0),),
        init_from=Path("a/b.pth"),
    )
    assert type(experiment.data[0].weight) is float


def test_a_dumped_section_validates_to_itself():
    experiment = validate(Experiment, GOOD, "x.yaml")
    assert validate(Experiment, experiment.model_dump(mode="json"), "x.yaml") == experiment


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"steps": "10"}, 'steps: got "10"; should be a valid integer'),
        ({"steps": 10.0}, "steps: got 10.0; should be a valid integer"),
        ({"steps": True}, "steps: got true; should be a valid integer"),
        ({"lr": "1e-4"}, 'lr: got "1e-4"; should be a valid number'),
        ({"lr": float("nan")}, "lr: got NaN; should be a finite number"),
        ({"flip": "yes"}, 'flip: got "yes"; should be a valid boolean'),
        ({"init_from": 3}, "init_from: got 3; should be a valid string"),
        ({"data": {}}, "data: got {}; should be a list"),
        ({"data": ["got10k"]}, 'data.0: got "got10k"; should be a mapping'),
        ({"data": [{"name": "a"}, {"name": "b", "weight": 0}]}, "data.1.weight: got 0; should be greater than 0"),
        ({"data": [{"weight": 1}]}, "data.0.name: missing; set it"),
        ({"data": [{"name": "a", "wieght": 1}]}, "data.0.wieght: got 1; unknown key; did you mean weight?"),
        ({"model": "grm"}, 'model: got "grm"; should be a mapping'),
        ({"model": {}}, "model.name: missing; known: adaptive, one_stream, two_stream"),
        ({"model": {"name": "adaptiv"}}, 'model.name: got "adaptiv"; did you mean adaptive?'),
        ({"model": {"name": [1]}}, "model.name: got [1]; known: adaptive, one_stream, two_stream"),
        ({"model": {"name": "one_stream"}}, "model.keep: missing; set it"),
        (
            {"model": {"name": "adaptive", "division": {"softmax": "publishd"}}},
            "model.division.softmax: got \"publishd\"; should be 'exact' or 'published'",
        ),
        (
            {"model": {"name": "adaptive", "division": {"treshold": 0.4}}},
            "model.division.treshold: got 0.4; unknown key; did you mean threshold?",
        ),
        ({"models": [{"name": "two_stream", "keep": "x"}]}, 'models.0.keep: got "x"; should be a valid number'),
        ({"division": {"treshold": 1}}, "division.treshold: got 1; unknown key; did you mean threshold?"),
        ({"group": "al"}, "group: got \"al\"; should be a valid integer or 'all'"),
        ({"per_dataset": {"lasot": {"model.x": "a"}}}, 'per_dataset.lasot.model.x: got "a"; should be a valid number'),
        ({"either": 3}, "either: got 3; should be a mapping"),
        ({"per_dataset": []}, "per_dataset: got []; should be a mapping"),
        ({"schedule": {"kind": "step", "drap": 1}}, "schedule.drap: got 1; unknown key; did you mean drop?"),
        ({"schedule": {"kind": "steps"}}, 'schedule.kind: got "steps"; did you mean step?'),
        ({"schedule": {"drop": 1}}, "schedule.kind: missing; known: step, cosine"),
        ({"size": [1]}, "size.1: missing; set it"),
        ({"even": 3}, "even: got 3; should be even"),
        ({"Step": 3}, "Step: got 3; unknown key; did you mean steps?"),
        ({"steps": 2000}, "steps: got 2000; should be 1000 or less"),
    ],
)
def test_a_wrong_field_gives_one_line(changes, line):
    assert lines_of(changes) == [f"x.yaml: {line}"]


def test_an_unknown_key_without_a_near_one_lists_the_keys_of_its_section():
    assert lines_of({"data": [{"name": "a", "lr": 1}]}) == [
        "x.yaml: data.0.lr: got 1; unknown key; known: name, weight"
    ]


def test_a_union_without_names_reports_the_errors_of_each_member():
    assert lines_of({"either": {"treshold": 0.1}}) == [
        "x.yaml: either.treshold: got 0.1; unknown key; did you mean threshold?",
        "x.yaml: either.name: missing; set it",
        "x.yaml: either.keep: missing; set it",
    ]


def test_a_check_of_a_section_may_speak_of_several_fields():
    assert lines_of({"model": {"name": "one_stream", "keep": 2}}) == [
        "x.yaml: model: keep: got 2.0; should be 1 or less",
        "x.yaml: model: name: got one_stream; should be another",
    ]


def test_all_errors_come_at_once_and_checks_across_fields_wait_for_them():
    lines = lines_of({"steps": 2000, "lr": "a", "foo": 1, "model": {"name": "adaptive", "division": {"softmax": 1}}})
    assert [line.split(":")[1].strip() for line in lines] == ["model.division.softmax", "lr", "foo"]


def test_a_long_value_is_cut():
    (line,) = lines_of({"steps": list(range(1000))})
    assert len(line) < 160
    assert " ...; should be a valid integer" in line


def test_a_value_from_an_override_is_marked():
    changes = {
        "model": {"name": "adaptive", "division": {"threshold": "x", "softmax": "y"}},
        "lr": "a",
        "steps": "b",
        "division": {"nothing": 1, "threshold": "z"},
        "extra": {"deep": 1},
    }
    overrides = ("lr=a", "model.division.threshold=x", "division={nothing: 1, threshold: z}", "extra.deep=1")
    assert [": ".join(line.split(": ")[:2]) for line in lines_of(changes, overrides)] == [
        "command line: model.division.threshold",
        "x.yaml: model.division.softmax",
        "x.yaml: steps",
        "command line: lr",
        "command line: division.threshold",
        "command line: division.nothing",
        "x.yaml + command line: extra",
    ]


def test_a_check_across_fields_names_both_sources():
    assert lines_of({"steps": 2000}, ("lr=1",)) == ["x.yaml + command line: steps: got 2000; should be 1000 or less"]


def test_the_schema_agrees_with_validation():
    schema = json_schema(Experiment)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert schema["title"] == "Experiment"
    assert schema["required"] == ["model", "data"]
    assert schema["properties"]["model"]["discriminator"]["propertyName"] == "name"
    assert schema["additionalProperties"] is False
    assert all(part["additionalProperties"] is False for part in schema["$defs"].values())
    json.dumps(schema)
