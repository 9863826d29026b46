"""Stand-ins for ``Pairs`` whose workers have an accident; imported by name, so that worker processes can unpickle them.

Also a program: it takes batches of ``SlowPairs`` from two workers, and prints a line after the first.
"""

import resource
import time

import torch

from lib.data.batch import Batch
from lib.data.loader import load_batches


def blank(number: int) -> Batch:
    crop = torch.zeros(1, 3, 64, 64, dtype=torch.uint8), torch.zeros(1, 4), torch.ones(1)
    return Batch((number,), *crop, *crop, ("blank",))


class SlowPairs:
    """A tenth of a second for each sample."""

    def sample(self, number: int) -> Batch:
        """A sample of zeros."""
        time.sleep(0.1)
        return blank(number)


class CrampedPairs:
    """Where a sample is drawn, no file may become larger than 1000 bytes, in shared memory neither."""

    def sample(self, number: int) -> Batch:
        """A sample of zeros."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        return blank(number)


if __name__ == "__main__":
    import lib.config.yaml12  # noqa: F401, which is not for workers alone

    for batch in load_batches(SlowPairs(), [[number] for number in range(10_000)], 2):
        if batch.numbers == (0,):
            print("started", flush=True)
