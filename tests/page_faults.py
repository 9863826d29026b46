"""Counts the pages that the kernel hands to a process which takes and gives back the memory of pictures.

Imported by name, so that worker processes can unpickle what is in it; also a program that prints the count, with the
argument ``keep`` after a call of ``keep_large_buffers``.
"""

import resource
import sys
from typing import TYPE_CHECKING

import numpy as np

from lib.runtime.machine import keep_large_buffers

if TYPE_CHECKING:
    from lib.data.batch import Batch

ROUNDS, PICTURES, BYTES = 20, 2, 1280 * 720 * 3
PAGES = ROUNDS * PICTURES * BYTES // resource.getpagesize()  # if each picture is mapped anew


def count_faults() -> int:
    """Page faults while the memory of two pictures is taken, filled and given back, 20 times."""
    for _ in range(3):
        take_pictures()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(ROUNDS):
        take_pictures()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def take_pictures() -> None:
    """Fills the memory of two pictures of 1280 x 720 and forgets them."""
    pictures = [np.empty(BYTES, np.uint8) for _ in range(PICTURES)]
    for picture in pictures:
        picture.fill(1)


class FaultPairs:
    """Stands for ``Pairs``: the source of a sample is the count of faults where it was prepared."""

    def sample(self, number: int) -> "Batch":
        """A sample of zeros."""
        import torch  # not above: the program must start fast

        from lib.data.batch import Batch

        crop = torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, 4), torch.ones(1)
        return Batch((number,), *crop, *crop, (str(count_faults()),))


if __name__ == "__main__":
    if sys.argv[1:] == ["keep"]:
        keep_large_buffers()
    print(count_faults())
