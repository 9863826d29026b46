"""The place of this process among those that train or test together."""

import os
from typing import NamedTuple


class Ranks(NamedTuple):
    """Number of this process in the run and on its machine, and the number of processes in the run."""

    rank: int
    local_rank: int
    world: int


def ranks() -> Ranks:
    """The ranks in the variables that torchrun and ``launch`` set; without them this process is the only one. An empty
    variable counts as unset. Raises ValueError for variables that do not fit."""
    numbers = []
    for name, default in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1")):
        text = os.environ.get(name) or default
        if not text.isdecimal():
            raise ValueError(f"{name}: got {text!r}; correct or unset this environment variable")
        numbers.append(int(text))
    found = Ranks(*numbers)
    if found.rank >= found.world:  # it would compute everything and write nothing
        raise ValueError(f"RANK: got {found.rank}, but WORLD_SIZE is {found.world}; correct or unset these variables")
    return found
