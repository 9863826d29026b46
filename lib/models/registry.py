"""The families of networks, by the name that ``model.name`` gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from lib.models.base import TrackingModel
from lib.models.grm import GRM, GRMConfig, grm_from_released
from lib.models.ostrack import OSTrack, OSTrackConfig, ostrack_from_released
from lib.models.simtrack import SimTrack, SimTrackConfig, simtrack_from_released
from lib.models.stark import StarkSV, StarkSVConfig, stark_sv_from_released
from lib.models.transt import TransT, TransTConfig, transt_from_released

ModelConfig = Annotated[
    GRMConfig | OSTrackConfig | SimTrackConfig | StarkSVConfig | TransTConfig, Field(discriminator="name")
]

# Called with the family's configuration and the sizes of the template's and the search region's crops.
MODELS: dict[str, Callable[[Any, int, int], TrackingModel]] = {
    "grm": GRM,
    "ostrack": OSTrack,
    "simtrack": SimTrack,
    "stark_sv": StarkSV,
    "transt": TransT,
}

# Weights under the names that were published, and the names that the network owns -> weights under our names.
RELEASED: dict[str, Callable[[Mapping[str, Tensor], frozenset[str]], dict[str, Tensor]]] = {
    "grm": grm_from_released,
    "ostrack": ostrack_from_released,
    "simtrack": simtrack_from_released,
    "stark_sv": stark_sv_from_released,
    "transt": transt_from_released,
}
