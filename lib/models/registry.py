"""The families of networks, by the name that ``model.name`` gives: the record of each family's module."""

from typing import Annotated, Union

from pydantic import Field

from lib.models import grm, lite, lorat, ostrack, simtrack, stark_sv, transt
from lib.models.base import Family

FAMILIES: dict[str, Family] = {
    module.FAMILY.name: module.FAMILY for module in (grm, lite, lorat, ostrack, simtrack, stark_sv, transt)
}

# A union with one member for each record; ``|`` cannot write it.
ModelConfig = Annotated[Union[tuple(family.config for family in FAMILIES.values())], Field(discriminator="name")]  # noqa: UP007
