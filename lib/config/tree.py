"""Plain configuration trees: one laid over another, and single values set by dotted overrides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lib.config.schema import ConfigError
from lib.config.yaml12 import MOST_LEVELS, read_value

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


def apply_overrides(tree: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """The tree with ``section.key=value`` settings merged into it, the last of equal keys winning.

    The value is read as it would be in a file, so ``data.train=[{name: got10k}]`` replaces a list and ``a.b={c: 1}``
    merges into a mapping. Whether the key exists is for ``validate`` to say. Raises ``ConfigError`` naming the
    override: no ``=``, an empty part in the key, a key below something that is no mapping, a value that is not YAML.
    """
    for override in overrides:
        key, equals, text = override.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts) or len(parts) > MOST_LEVELS:
            raise ConfigError(f"{COMMAND_LINE}: {override[:200]!r}: not an override; should be section.key=value")
        _check_parents(tree, parts, override)
        change = read_value(text, key.strip(), COMMAND_LINE)
        for part in reversed(parts):
            change = {part: change}
        tree = merge(tree, change)
    return tree


def _check_parents(tree: dict[str, Any], parts: list[str], override: str) -> None:
    node: Any = tree
    for depth, part in enumerate(parts[:-1], start=1):
        if part not in node:
            return
        node = node[part]
        if not isinstance(node, dict):
            parent = ".".join(parts[:depth])
            raise ConfigError(f"{COMMAND_LINE}: {override!r}: {parent} is not a mapping; set {parent} as a whole")
