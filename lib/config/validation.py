"""From a plain tree to a typed section, with one line for each wrong field, and the JSON schema for editors."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lib.config.schema import ConfigError, Section, suggest
from lib.config.tree import COMMAND_LINE

_Section = TypeVar("_Section", bound=Section)
_SHOWN = 80  # characters of a value in a message
_REWORDED = {
    "model_type": "should be a mapping",
    "model_attributes_type": "should be a mapping",
    "dict_type": "should be a mapping",
    "list_type": "should be a list",
    "tuple_type": "should be a list",
}


def validate(
    section_class: type[_Section], tree: dict[str, Any], source: str, overrides: Iterable[str] = ()
) -> _Section:
    """The typed section of a plain tree; JSON's rules hold, so lists become tuples and nothing else is converted.

    ``source`` opens every line of the error, usually a file; ``overrides`` are those given to ``apply_overrides``
    (their keys suffice), and a value from one of them is marked so. Raises ``ConfigError`` with a line for each wrong
    field: source, dotted key, value, remedy. Each line of a validator's own message becomes one of these.
    """
    try:
        return section_class.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        overridden = [tuple(override.partition("=")[0].strip().split(".")) for override in overrides]
        remedies: dict[tuple[tuple[str, ...], str], list[str]] = {}
        for details in error.errors(include_url=False):
            key, got, remedy = _complaint(section_class, tree, details)
            remedies.setdefault((key, got), []).append(remedy)  # several where the field is a union
        lines = []
        for (key, got), alternatives in remedies.items():
            place = ": ".join(filter(None, (_origin(key, source, overridden), ".".join(key))))
            text = " or ".join(dict.fromkeys(alternatives)).replace(" or should be ", " or ")
            lines += [f"{place}: {got}{line}" for line in text.splitlines()]
        raise ConfigError("\n".join(lines)) from error


def json_schema(section_class: type[Section]) -> dict[str, Any]:
    """JSON schema by which an editor completes and checks a file of this section; unknown keys are errors in it too."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **section_class.model_json_schema()}


def _origin(key: tuple[str, ...], source: str, overridden: list[tuple[str, ...]]) -> str:
    """The source of a value: an override that set it, the file, or both if an override set a part of it."""
    if any(key[: len(other)] == other for other in overridden):
        return COMMAND_LINE
    if any(other[: len(key)] == key for other in overridden):
        return f"{source} + {COMMAND_LINE}"
    return source


def _complaint(
    section_class: type[Section], tree: dict[str, Any], details: ErrorDetails
) -> tuple[tuple[str, ...], str, str]:
    """One of pydantic's errors as parts of the dotted key, the value (``got ...; `` or ""), and the remedy."""
    kind, value, location = details["type"], details["input"], details["loc"]
    context = details.get("ctx", {})
    key, sections = _follow(section_class, tree, location)
    got = f"got {_shown(value)}; "
    if kind == "missing":
        return key if isinstance(location[-1], int) else (*key, location[-1]), "", "missing; set it"
    if kind == "extra_forbidden":
        return key, got, f"unknown key; {suggest(key[-1], [name for each in sections for name in each.model_fields])}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        chooser = context["discriminator"].strip("'()")  # a field, or a function that is named like it
        tag = value.get(chooser)
        found = "missing; " if tag is None else f"got {_shown(tag)}; "
        return (*key, chooser), found, suggest(tag or "", [name for each in sections for name in _names(each)])
    if kind in ("value_error", "assertion_error"):
        # A check of a whole section names its fields itself; showing all their values would bury that.
        return key, "" if isinstance(value, dict) else got, str(context["error"])
    message = details["msg"].replace("Input should", "should")
    return key, got, _REWORDED.get(kind, message[0].lower() + message[1:])


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " ..."


def _follow(
    section_class: type[Section], tree: Any, location: tuple[int | str, ...]
) -> tuple[tuple[str, ...], list[type[Section]]]:
    """The steps of pydantic's location that the tree has, without its labels of union members; and the classes that the
    section there may be of, or the section around an unknown key."""
    parts, sections = [], [section_class]
    for step in location:
        fields = [section.model_fields[step] for section in sections if step in section.model_fields]
        labelled = [section for section in sections if step in (*_names(section), section.__name__)]
        sections = [inner for field in fields for inner in _sections_in(field.annotation)] or labelled or sections
        if isinstance(tree, dict) and step in tree or isinstance(tree, list) and isinstance(step, int):
            tree = tree[step] if isinstance(tree, dict) or step < len(tree) else None
            parts.append(str(step))
    return tuple(parts), sections


def _sections_in(annotation: Any) -> Iterator[type[Section]]:
    """The section classes in a type: in a union, a tuple, a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections_in(inner)


def _names(section: type[Section]) -> tuple[str, ...]:
    """The values of ``name`` or ``kind`` by which a section is chosen out of a union."""
    fields = [section.model_fields[key] for key in ("name", "kind") if key in section.model_fields]
    return tuple(
        name for field in fields if get_origin(field.annotation) is Literal for name in get_args(field.annotation)
    )
