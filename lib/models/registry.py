"""The families of networks, by the name that ``model.name`` gives: one record for each, one line here."""

from typing import Annotated, Union

from pydantic import Field

from lib.models import grm, lite, lorat, ostrack, simtrack, stark_sv, transt
from lib.models.base import Family

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        grm.FAMILY,
        lite.FAMILY,
        lorat.FAMILY,
        ostrack.FAMILY,
        simtrack.FAMILY,
        stark_sv.FAMILY,
        transt.FAMILY,
    )
}

# A union with one member for each record; ``|`` cannot write it.
ModelConfig = Annotated[Union[tuple(family.config for family in FAMILIES.values())], Field(discriminator="name")]  # noqa: UP007
