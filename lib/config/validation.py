"""From a plain tree to a typed section: every wrong field told at once, a line each, and the schema for editors."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lib.config.schema import ConfigError, Section
from lib.config.tree import COMMAND_LINE

_Section = TypeVar("_Section", bound=Section)
_SHOWN = 80
# The keys by which a section is chosen out of a union.
_CHOOSERS = ("name", "kind")
_TYPES = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    Path: "a path",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
}
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
    (their keys suffice), and a value that came from one says so. Raises ``ConfigError`` with a line for every wrong
    field: source, dotted key, value, what would be right. Each line of a validator's own message becomes one of these.
    """
    try:
        return section_class.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        overridden = [tuple(override.partition("=")[0].strip().split(".")) for override in overrides]
        remedies: dict[tuple[tuple[str, ...], str], list[str]] = {}
        for details in error.errors(include_url=False):
            key, got, remedy = _complaint(section_class, details)
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
    """Where a value came from: an override that set it, the file, or both if an override set part of it."""
    if any(key[: len(other)] == other for other in overridden):
        return COMMAND_LINE
    if any(other[: len(key)] == key for other in overridden):
        return f"{source} + {COMMAND_LINE}"
    return source


def _complaint(section_class: type[Section], details: ErrorDetails) -> tuple[tuple[str, ...], str, str]:
    """One of pydantic's errors as parts of the dotted key, the value (``got ...; `` or ""), and what would be right."""
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    key, holder, expected = _follow(section_class, details["loc"])
    got = f"got {_shown(value)}; "
    if kind == "missing":
        return key, "", f"missing; should be {_type_name(expected)}"
    if kind == "extra_forbidden":
        return key, got, f"unknown key; {_suggestion(key[-1], list(holder.model_fields))}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        names = [name for member in _members(expected) for name in _names(member)]
        chooser = context["discriminator"].strip("'()")  # a field, or a function that is named like it
        tag = value.get(chooser)
        if tag is None:
            return (*key, chooser), "missing; ", f"should be one of {', '.join(names)}"
        return (*key, chooser), f"got {_shown(tag)}; ", _suggestion(str(tag), names)
    if kind in ("value_error", "assertion_error"):
        # A check of a whole section names its fields itself; showing all their values would bury that.
        return key, "" if isinstance(value, dict) else got, str(context["error"])
    message = details["msg"].replace("Input should", "should")
    return key, got, _REWORDED.get(kind, message[0].lower() + message[1:])


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " ..."


def _suggestion(word: str, known: list[str]) -> str:
    near = get_close_matches(word.lower(), known, n=1)
    return f"did you mean {near[0]}?" if near else f"should be one of {', '.join(known)}"


def _follow(annotation: Any, location: tuple[int | str, ...]) -> tuple[tuple[str, ...], Any, Any]:
    """Pydantic's location as dotted parts without the labels of union members, the type that holds the last part, and
    the type wanted there."""
    parts: list[str] = []
    holder = None
    for step in location:
        annotation = _bare(annotation)
        members = _members(annotation)
        if members:
            annotation = next((m for m in members if _is_labelled(m, str(step))), None)
        elif step != "[key]":  # pydantic's mark for an error in the key of a mapping
            holder, annotation = annotation, _inner(annotation, step)
            parts.append(str(step))
    return tuple(parts), holder, _bare(annotation)


def _bare(annotation: Any) -> Any:
    """The type inside ``Annotated`` and ``| None``."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    others = [member for member in get_args(annotation) if member is not types.NoneType]
    if _is_union(annotation) and len(others) == 1:
        return _bare(others[0])
    return annotation


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _members(annotation: Any) -> list[Any]:
    """Members of a union, none of another type."""
    if not _is_union(annotation):
        return []
    return [_bare(member) for member in get_args(annotation) if member is not types.NoneType]


def _names(annotation: Any) -> tuple[str, ...]:
    """The values of ``name`` or ``kind`` by which a section is chosen out of a union."""
    fields = [annotation.model_fields.get(chooser) for chooser in _CHOOSERS] if _is_section(annotation) else []
    literals = [field.annotation for field in fields if field and get_origin(field.annotation) is Literal]
    return tuple(value for literal in literals for value in get_args(literal))


def _is_labelled(member: Any, label: str) -> bool:
    """Whether pydantic's label means this member of a union: its name or kind, or a text that holds the type's own
    name, such as ``function-after[check(), Corner]``."""
    return label in _names(member) or getattr(member, "__name__", None) in re.findall(r"\w+", label)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _inner(annotation: Any, step: int | str) -> Any:
    """Type of a section's field, or of the items of a list or mapping; None where the step leads out of the types."""
    if _is_section(annotation):
        field = annotation.model_fields.get(step)
        return field.annotation if field else None
    arguments = [argument for argument in get_args(annotation) if argument is not Ellipsis]
    if not arguments:
        return None
    return arguments[min(step, len(arguments) - 1)] if isinstance(step, int) else arguments[-1]


def _type_name(annotation: Any) -> str:
    """How a reader would call the type wanted."""
    annotation = _bare(annotation)
    if _is_section(annotation):
        return f"a mapping with the keys {', '.join(annotation.model_fields)}"
    if get_origin(annotation) is Literal:
        return " or ".join(map(repr, get_args(annotation)))
    if _is_union(annotation):
        return " or ".join(map(_type_name, _members(annotation)))
    kind = get_origin(annotation) or annotation
    return _TYPES.get(kind, str(kind))
