"""Seeds for the noise inside networks: drop path, dropout, Gumbel."""

import numpy as np
import torch


def seed_network(seed: int, number: int) -> None:
    """Seeds torch's generators on the CPU and every GPU from ``(seed, number)`` alone; both are at least 0.

    Called before each group's forward pass with the group's first sample number, so that its noise depends neither on
    earlier groups nor on the layout of processes.
    """
    state = np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]))
