"""The base class of every configuration section, and the one error a wrong configuration raises."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class ConfigError(ValueError):
    """A user's mistake in a configuration; the message names file, dotted key, value and the remedy, a line each."""


class Section(BaseModel):
    """A frozen part of the configuration: unknown keys are errors, types are strict, NaN and infinity are refused.

    A component subclasses it next to its own code and takes an instance of it. Cross-checks inside the section are
    pydantic validators there; they raise ``ValueError`` with a message that says what would be right.
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
