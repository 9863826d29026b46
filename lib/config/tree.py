"""Plain configuration trees: one laid over another, and single values set by dotted overrides."""

from collections.abc import Iterable
from typing import Any

from lib.config.schema import ConfigError
from lib.config.yaml12 import read_value

COMMAND_LINE = "command line"


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``base`` with ``changes`` laid over it: mappings merge key by key, everything else (lists too) is replaced.

    Neither argument is changed; the result shares the parts that stayed whole.
    """
    merged = dict(base)
    for key, change in changes.items():
        old = base.get(key)
        merged[key] = merge(old, change) if isinstance(old, dict) and isinstance(change, dict) else change
    return merged


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of a nested mapping by dotted keys; an empty mapping is a value."""
    values: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            values |= flat(value, f"{prefix}{key}.")
        else:
            values[prefix + key] = value
    return values


def nested(key: str, value: Any) -> dict[str, Any]:
    """The nested mapping that holds ``value`` under a dotted ``key``."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def apply_overrides(tree: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """The tree with ``section.key=value`` settings merged into it; the last of equal keys wins.

    The value is read as in a file: ``data.train=[{name: got10k}]`` replaces a list and ``a.b={c: 1}`` merges into a
    mapping. ``validate`` checks whether the key exists. Raises ``ConfigError`` naming the override: no ``=``, an empty
    part in the key, a value that is not YAML.
    """
    for override in overrides:
        key, equals, text = override.partition("=")
        key = key.strip()
        if not equals or not all(key.split(".")):
            raise ConfigError(f"{COMMAND_LINE}: {override[:200]!r}: not an override; should be section.key=value")
        tree = merge(tree, nested(key, read_value(text, key, COMMAND_LINE)))
    return tree
