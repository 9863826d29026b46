"""The hint in the error for an unknown name: the nearest known name, or all of them."""

from collections.abc import Iterable
from difflib import get_close_matches

MOST_LISTED = 40


def suggest(name: object, known: Iterable[str]) -> str:
    """``did you mean lasot?``, or ``known: lasot, uav, ...`` where no known name is near. Case is ignored."""
    known = {each.lower(): each for each in known}
    near = get_close_matches(str(name).lower(), known, n=1)
    if near:
        return f"did you mean {known[near[0]]}?"
    more = ", ..." if len(known) > MOST_LISTED else ""
    return f"known: {', '.join(list(known.values())[:MOST_LISTED])}{more}"
