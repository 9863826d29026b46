"""Seeds for the noise inside networks: drop path, dropout, Gumbel."""

from __future__ import annotations

import numpy as np
import torch


def seed_network(seed: int, number: int) -> None:
    """Sets torch's generators, on the CPU and on every GPU, to a state that only ``(seed, number)`` decides.

    Called before each group's forward pass with the group's first sample number, so that its noise depends neither on
    what ran before nor on how groups are spread over processes. Both integers are 0 or more.
    """
    state = np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]))
