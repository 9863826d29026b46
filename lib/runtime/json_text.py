"""JSON: values that it can hold, and texts of any origin, in which each fault is a ValueError of one line."""

import json
import math
from collections import abc
from collections.abc import Callable
from typing import Any


def parse_json(text: str | bytes, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """The value of a JSON text, as ``json.loads`` gives it. Raises ``ValueError``, also for one nested too deeply."""
    try:
        return json.loads(text, object_hook=object_hook)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


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
