"""JSON text of any origin: one line of ValueError for whatever is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

MOST_LEVELS = 100


def parse_json(text: str | bytes, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """The value of a JSON text, as ``json.loads`` gives it. Raises ``ValueError``, also for one nested so deeply that
    walking through it, writing or comparing it could exceed Python's stack."""
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
