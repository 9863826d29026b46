"""The base class of every configuration section, the error that a wrong configuration raises, and its hint at known
names."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

MOST_LISTED = 40  # names in a hint


class ConfigError(ValueError):
    """A user's mistake in a configuration; the message names file, dotted key, value and the remedy, a line each."""


class Section(BaseModel):
    """A frozen part of the configuration: unknown keys are errors, types are strict, NaN and infinity are refused.

    A component subclasses it next to its own code and takes an instance of it. Cross-checks inside the section are
    pydantic validators there; they raise ``ValueError`` with the right values in its message.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True, protected_namespaces=()
    )


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"should be a regular expression ({error})") from error
    return text


# A regular expression that must fit the beginning of a parameter's name: ``re.match``.
NamePattern = Annotated[str, AfterValidator(_regular_expression)]


def suggest(name: object, known: Iterable[str]) -> str:
    """``did you mean lasot?``, or ``known: lasot, uav, ...`` where no known name is near. Case is ignored."""
    known = {each.lower(): each for each in known}
    near = get_close_matches(str(name).lower(), known, n=1)
    if near:
        return f"did you mean {known[near[0]]}?"
    more = ", ..." if len(known) > MOST_LISTED else ""
    return f"known: {', '.join(list(known.values())[:MOST_LISTED])}{more}"
