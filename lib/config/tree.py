"""Plain configuration trees: one laid over another, and single values set by dotted overrides."""

from collections.abc import Iterable
from typing import Any

from lib.config.schema import ConfigError
from lib.config.yaml12 import read_value

COMMAND_LINE = "command line"
MOST_PARTS = 50  # of a dotted key


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
    """The tree with ``section.key=value`` settings merged into it; the last of equal keys wins.

    The value is read as in a file: ``data.train=[{name: got10k}]`` replaces a list and ``a.b={c: 1}`` merges into a
    mapping. ``validate`` checks whether the key exists. Raises ``ConfigError`` naming the override: no ``=``, an empty
    part in the key, a value that is not YAML.
    """
    for override in overrides:
        key, equals, text = override.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts) or len(parts) > MOST_PARTS:
            raise ConfigError(f"{COMMAND_LINE}: {override[:200]!r}: not an override; should be section.key=value")
        change = read_value(text, key.strip(), COMMAND_LINE)
        for part in reversed(parts):
            change = {part: change}
        tree = merge(tree, change)
    return tree
