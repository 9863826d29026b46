"""YAML text in and out by the 1.2 core rules: ``1e-4`` is a number, ``no`` a word, ``010`` ten."""

from __future__ import annotations

import math
import re
import types
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from lib.config.schema import ConfigError

_TAG = "tag:yaml.org,2002:"
# YAML 1.2.2, section 10.3.2 (core schema), in the order in which they are tried.
_PLAIN = {
    "null": r"(?:null|Null|NULL|~|)",
    "bool": r"(?:true|True|TRUE|false|False|FALSE)",
    "int": r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)",
    "float": r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))",
}
_BASES = {"0o": 8, "0x": 16}
_SHOWN = 200
MOST_LEVELS = 50
LONGEST = 200_000  # characters and values of a file, each use of an anchor written out


class _CoreResolver(BaseResolver):
    """Tells the type of an unquoted word; PyYAML's own resolver follows YAML 1.1."""


for _name, _pattern in _PLAIN.items():
    _CoreResolver.add_implicit_resolver(_TAG + _name, re.compile(_pattern + r"\Z"), None)


class _Loader(Reader, Scanner, Parser, Composer, _CoreResolver):
    """PyYAML's steps from text to nodes, with the core rules for unquoted words."""

    def __init__(self, text: str):
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        _CoreResolver.__init__(self)


def _represent_float(dumper: yaml.SafeDumper, value: float) -> ScalarNode:
    assert math.isfinite(value), f"a configuration holds finite numbers only, not {value}"
    return dumper.represent_scalar(_TAG + "float", repr(value))


def _represent_str(dumper: yaml.SafeDumper, value: str) -> ScalarNode:
    # PyYAML's single quotes lose some line breaks; double quotes escape them all.
    return dumper.represent_scalar(_TAG + "str", value, style=None if value.isprintable() else '"')


class _Dumper(_CoreResolver, yaml.SafeDumper):
    """Writes plain trees and nothing else, quoting whatever the core rules would read as something else."""

    yaml_representers = {
        kind: yaml.SafeDumper.yaml_representers[kind] for kind in (types.NoneType, bool, int, list, dict)
    } | {float: _represent_float, str: _represent_str, None: yaml.SafeDumper.represent_undefined}

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Problem(Exception):
    """What is wrong in a YAML text, on which line (from 1), at which dotted key ("" for none)."""

    def __init__(self, line: int, key: str, message: str):
        super().__init__(_short(message))
        self.line = line
        self.key = _short(key)


def _short(text: str) -> str:
    """As it is shown: one line of reasonable length."""
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def read_yaml(path: Path | str) -> dict[str, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping.

    Raises ``ConfigError`` naming file, line and dotted key: not a mapping, a syntax error, a repeated or non-string
    key, a number that is not finite, an anchor inside itself, anchors that multiply beyond ``LONGEST``, a tag outside
    the core schema.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(LONGEST + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    try:
        tree = _parse(text, "")
    except _Problem as problem:
        raise ConfigError(": ".join(filter(None, (f"{path}:{problem.line}", problem.key, str(problem))))) from problem
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: the top level is not a mapping; write `key: value` lines")
    return tree


def read_value(text: str, key: str, source: str) -> Any:
    """One value, as it would be read behind ``key:`` in a file; flow lists and mappings are allowed, "" is null.

    Raises ``ConfigError`` beginning with ``source`` and the dotted key, for the reasons ``read_yaml`` gives.
    """
    try:
        return _parse(text, key)
    except _Problem as problem:
        raise ConfigError(f"{source}: {problem.key or key}: got {_short(repr(text))}; {problem}") from problem


def to_yaml(tree: dict[str, Any]) -> str:
    """Text that ``read_yaml`` reads back as the same tree of dict, list, str, int, float, bool and None, in order."""
    return yaml.dump(
        tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=math.inf
    )


def _parse(text: str, key: str) -> Any:
    if len(text) > LONGEST:
        raise _Problem(1, "", f"longer than {LONGEST} characters; is it a configuration?")
    try:
        node = _Loader(text).get_single_node()
        return None if node is None else _Reading().value(node, key, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = " ".join(filter(None, (error.context, error.problem)))
        raise _Problem(mark.line + 1, "", message) from error
    except ReaderError as error:
        raise _Problem(text.count("\n", 0, error.position) + 1, "", error.reason) from error
    except RecursionError as error:
        raise _Problem(1, "", "nested too deeply") from error


class _Reading:
    """From the nodes of one text to plain values; every use of an anchor gets its own copy."""

    def __init__(self) -> None:
        self.left = LONGEST

    def value(self, node: Node, key: str, parents: tuple[Node, ...]) -> Any:
        """The plain value of a node at a dotted key."""
        line = node.start_mark.line + 1
        self.left -= 1 + (len(node.value) if isinstance(node, ScalarNode) else 0)
        if self.left < 0:
            raise _Problem(line, "", f"longer than {LONGEST} characters with its anchors written out; use fewer")
        if any(node is parent for parent in parents):
            raise _Problem(line, key, "the anchor stands inside itself; write the values out")
        if len(parents) == MOST_LEVELS:
            raise _Problem(line, "", "nested too deeply")
        inside = (*parents, node)
        if isinstance(node, MappingNode) and node.tag == _TAG + "map":
            return self.mapping(node, key, inside)
        if isinstance(node, SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(item, _below(key, str(i)), inside) for i, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return _scalar(node, key)
        raise _Problem(line, key, f"the tag {node.tag.replace(_TAG, '!!')} is not used here; remove it")

    def mapping(self, node: MappingNode, key: str, parents: tuple[Node, ...]) -> dict[str, Any]:
        """The mapping of a node at a dotted key."""
        tree: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            name = self.value(name_node, key, parents)
            if not isinstance(name, str):
                shown = name_node.value if isinstance(name_node, ScalarNode) else "of several parts"
                raise _Problem(line, key, f"the key {shown!r} is not a word; put it in quotes")
            inner = _below(key, name)
            if name in tree:
                raise _Problem(line, inner, f"repeated key, first on line {lines[name]}; keep one")
            lines[name] = line
            tree[name] = self.value(value_node, inner, parents)
        return tree


def _scalar(node: ScalarNode, key: str) -> Any:
    line, text, kind = node.start_mark.line + 1, node.value, node.tag.removeprefix(_TAG)
    if kind == "str":
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise _Problem(line, key, f"{text!r} holds half a character; write it as \\U and eight digits")
        return text
    if kind not in _PLAIN:
        raise _Problem(line, key, f"the tag {node.tag.replace(_TAG, '!!')} is not used here; remove it")
    if not re.fullmatch(_PLAIN[kind], text):
        raise _Problem(line, key, f"{text!r} is not of the type !!{kind}")
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return _integer(text, line, key)
    number = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if not math.isfinite(number):
        raise _Problem(line, key, f"{text} is not a finite number; write a finite one")
    return number


def _integer(text: str, line: int, key: str) -> int:
    try:
        return int(text[2:], _BASES[text[:2]]) if text[:2] in _BASES else int(text)
    except ValueError as error:  # Python refuses decimal numbers of several thousand digits
        raise _Problem(line, key, f"a number of {len(text)} digits is too long") from error


def _below(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
