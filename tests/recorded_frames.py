"""The made-up images that published code was run on for the recorded crops and boxes: RGB uint8 ``[360, 480, 3]``."""

from functools import cache

import numpy as np


def checkered() -> np.ndarray:
    """Of the crops of GRM, OSTrack and LoRAT."""
    y, x, c = np.mgrid[0:360, 0:480, 0:3]
    return ((3 * x + 5 * y + 40 * c + ((x // 16 + y // 16) % 2) * 64 + (x * y) // 97) % 256).astype(np.uint8)


@cache
def texture(number: int) -> np.ndarray:
    """Frame ``number`` of the video of TransT and LoRAT, which moves 7 pixels left and 4 up from frame to frame."""
    y, x, c = np.mgrid[0:360, 0:480, 0:3]
    y, x = y + 4 * number, x + 7 * number
    ramp = ((2 + c) * x + (3 - c) * y + x * y // (90 + 40 * c) + 60 * c) % 384
    return (20 + 15 * c + np.minimum(ramp, 384 - ramp) + 12 * ((x // 16 + y // 16) % 2)).astype(np.uint8)


def tiles(number: int) -> np.ndarray:
    """Frame ``number`` of the video of GRM and SimTrack."""
    y, x, c = np.mgrid[0:360, 0:480, 0:3]
    kinds = ((x + 3 * number) // 20 + (y + 2 * number) // 24) % 3
    return (((x * x) // 64 + (y * y) // 48 + (x * y) // 96 + 53 * c + 37 * kinds) % 256).astype(np.uint8)
