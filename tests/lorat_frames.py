"""The made-up video that LoRAT's published code was run on for the recorded crops and boxes."""

import numpy as np


def frame(number: int) -> np.ndarray:
    """RGB uint8 ``[360, 480, 3]``: a texture that moves 7 pixels left and 4 up from frame to frame."""
    y, x = np.mgrid[0:360, 0:480].astype(np.int64)
    y, x = y + 4 * number, x + 7 * number
    channels = []
    for c in range(3):
        place = ((2 + c) * x + (3 - c) * y + x * y // (90 + 40 * c) + 60 * c) % 384
        channels.append(20 + 15 * c + np.minimum(place, 384 - place) + 12 * ((x // 16 + y // 16) % 2))
    return np.stack(channels, axis=2).astype(np.uint8)
