"""JSON: values that it can hold, and texts of any origin, in which each fault is a ValueError of one line."""

import json
import math
from collections import abc
from collections.abc import Callable
from typing import Any

MOST_LEVELS = 100


def parse_json(text: str | bytes, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """The value of a JSON text, as ``json.loads`` gives it. Raises ``ValueError``, also for a text nested deeper than
    ``MOST_LEVELS``: walking through it, writing or comparing it could exceed Python's stack."""
    try:
        content = json.loads(text, object_hook=object_hook)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    level, depth = [content], 0
    while level:
        depth += 1
        if depth > MOST_LEVELS:
            raise ValueError(f"nested deeper than {MOST_LEVELS} levels")
        level = [
            inner
            for part in level
            if isinstance(part, (dict, list))
            for inner in (part.values() if isinstance(part, dict) else part)
            if isinstance(inner, (dict, list))
        ]
    return content


def plain(value: Any) -> Any:
    """The value in types that JSON has: a number that is not finite is None, arrays and tuples are lists."""
    if isinstance(value, abc.Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (str, int, type(None))) else str(value)
