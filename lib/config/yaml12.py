"""YAML text in and out by the core rules of YAML 1.2: ``1e-4`` is a number, ``no`` a word, ``010`` ten.

PyYAML does the reading; its types, which follow YAML 1.1, are replaced, and keys and bounds are checked.
"""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, ScalarNode
from yaml.reader import ReaderError

from lib.config.schema import ConfigError

LONGEST = 200_000  # characters of a file, and of its values with each use of an anchor written out
_SHOWN = 200  # characters of a value in a message
_TAG = "tag:yaml.org,2002:"
# Section 10.3.2 of YAML 1.2.2, the core schema: form and value of an unquoted word, in the order of trial. A value that
# Python cannot read is an error, such as ``.inf``: a configuration holds finite numbers only.
_TYPES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "null": (r"null|Null|NULL|~|", lambda text: None),
    "bool": (r"true|True|TRUE|false|False|FALSE", lambda text: bool(("false", "true").index(text.lower()))),
    "int": (
        r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
        lambda text: int(text, 0 if text[:2] in ("0o", "0x") else 10),
    ),
    "float": (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", float),
}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's registries, without the types of YAML 1.1
    yaml_constructors = {None: yaml.SafeLoader.construct_undefined}  # noqa: RUF012


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _mapping(loader: _Loader, node: MappingNode) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node)
        if not isinstance(key, str):
            raise ConstructorError(None, None, f"the key {key!r} is not a word; put it in quotes", key_node.start_mark)
        if key in tree:
            raise ConstructorError(None, None, f"repeated key {key!r}; keep one", key_node.start_mark)
        tree[key] = loader.construct_object(value_node)
    return tree


def _scalar(loader: _Loader, node: ScalarNode) -> Any:
    try:
        return _TYPES[node.tag.removeprefix(_TAG)][1](node.value)
    except ValueError as error:
        raise ConstructorError(None, None, str(error)[:_SHOWN], node.start_mark) from error


for _name, (_form, _) in _TYPES.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_form})\Z"), None)
    _Loader.add_constructor(_TAG + _name, _scalar)
_Loader.add_constructor(_TAG + "str", lambda loader, node: node.value)
_Loader.add_constructor(_TAG + "seq", lambda loader, node: [loader.construct_object(each) for each in node.value])
_Loader.add_constructor(_TAG + "map", _mapping)
_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers
_Dumper.add_representer(float, lambda dumper, value: dumper.represent_scalar(_TAG + "float", repr(value)))
_Dumper.add_representer(
    str,  # PyYAML's single quotes lose some line breaks; double quotes escape them all
    lambda dumper, text: dumper.represent_scalar(_TAG + "str", text, style=None if text.isprintable() else '"'),
)


def read_yaml(path: Path | str) -> dict[str, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping.

    Raises ``ConfigError`` naming file and line: not a mapping, a syntax error, a repeated or non-string key, a number
    that Python cannot read, a tag outside the core schema, an anchor inside itself, more than ``LONGEST``.
    """
    try:
        with open(path, encoding="utf-8") as file:
            tree = _parse(file.read(LONGEST + 1), lambda line: f"{path}:{line}: ")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    if not isinstance(tree, dict | None):
        raise ConfigError(f"{path}: the top level is not a mapping; write `key: value` lines")
    return tree or {}


def read_value(text: str, key: str, source: str) -> Any:
    """One value, as a file would hold it behind ``key:``; flow lists and mappings are allowed, "" is null.

    Raises ``ConfigError`` beginning with ``source`` and the dotted key, for the reasons of ``read_yaml``.
    """
    return _parse(text, lambda line: f"{source}: {key}: got {text[:_SHOWN]!r}; ")


def to_yaml(tree: dict[str, Any]) -> str:
    """Text that ``read_yaml`` reads back as the same tree of dict, list, str, int, finite float, bool and None."""
    return yaml.dump(
        tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=math.inf
    )


def _parse(text: str, place: Callable[[int], str]) -> Any:
    """The value of a text; ``place`` begins the message of an error in that line, from 1."""

    def problem(line: int, reason: str) -> ConfigError:
        return ConfigError(place(line) + reason)

    if len(text) > LONGEST:
        raise problem(1, f"longer than {LONGEST} characters; is it a configuration?")
    try:
        tree = _Loader(text).get_single_data()
        size = 0
        for part in json.JSONEncoder().iterencode(tree):  # piece by piece: anchors of anchors grow without bound
            size += len(part)
            if size > LONGEST:
                raise problem(1, f"longer than {LONGEST} characters with its anchors written out; use fewer")
    except yaml.MarkedYAMLError as error:
        raise problem(error.problem_mark.line + 1, error.problem) from error
    except ReaderError as error:  # a character that YAML does not allow; the one error of PyYAML without a mark
        raise problem(text.count("\n", 0, error.position) + 1, error.reason) from error
    except RecursionError as error:
        raise problem(1, "nested too deeply") from error
    return tree
