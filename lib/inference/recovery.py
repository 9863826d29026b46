"""Search for a lost target: at places all over the image, one in each frame, the nearest first.

Crops keep the network's size and scale, and there is one for each target and frame, so a search does not slow tracking
down. The searched region grows until it is the whole image, and then the search begins again. A target is found when
its score is high enough at one of the places. docs/confidence.md has the measurements behind the constants.
"""

import math

import numpy as np

# Frames with a low score before the search begins: scores dip for moments while the box is right.
PATIENCE = 5
# Largest distance of two places, as a share of the window's side: a target between them is whole in one window.
STRIDE = 0.75


def is_searched(lost: int) -> bool:
    """Whether a target that has been lost for so many frames is searched for in the next one."""
    return lost > PATIENCE


def place_to_search(seen: np.ndarray, lost: int, side: float, height: int, width: int) -> np.ndarray:
    """The box (float64 ``[4]`` xywh) around which a target is searched for after ``lost`` frames without it.

    It has the size of ``seen``, the box where the target was last seen, whose window has a side of ``side`` pixels.
    """
    center = seen[:2] + seen[2:] / 2
    places = np.concatenate([center[None], _grid(side * STRIDE, height, width)])
    order = np.argsort(np.hypot(*(places - center).T), kind="stable")
    visit = (lost - PATIENCE - 1) % len(order)
    return np.concatenate([places[order[visit]] - seen[2:] / 2, seen[2:]])


def _grid(stride: float, height: int, width: int) -> np.ndarray:
    """Points x, y ``[P, 2]`` over an image, at most ``stride`` from each other and from the border on each axis."""
    rows, columns = (max(1, math.ceil(length / stride) - 1) for length in (height, width))
    y, x = (length * (np.arange(count) + 1) / (count + 1) for length, count in ((height, rows), (width, columns)))
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
