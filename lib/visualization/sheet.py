"""Pictures out of pictures: titled panels side by side, and their file."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from lib.runtime.files import replacing

MARGIN = 4  # pixels between panels
TITLE = 16  # pixels of a title's line
FONT = cv2.FONT_HERSHEY_SIMPLEX


def tile(panels: Sequence[np.ndarray], columns: int, titles: Sequence[str] | None = None) -> np.ndarray:
    """Panels of one size, uint8 RGB ``[H, W, 3]``, row by row on white, each under its title."""
    assert panels and len({panel.shape for panel in panels}) == 1, "panels of one size, one at least"
    assert titles is None or len(titles) == len(panels)
    height, width = panels[0].shape[:2]
    head = TITLE if titles else 0
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    down, across = height + head + MARGIN, width + MARGIN
    sheet = np.full((rows * down + MARGIN, columns * across + MARGIN, 3), 255, np.uint8)
    for number, panel in enumerate(panels):
        top, left = MARGIN + number // columns * down, MARGIN + number % columns * across
        if titles:
            cv2.putText(sheet, titles[number], (left, top + head - 5), FONT, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
        sheet[top + head : top + head + height, left : left + width] = panel
    return sheet


def write_png(path: Path, image: np.ndarray) -> None:
    """Write uint8 RGB ``[H, W, 3]``; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded, code = cv2.imencode(".png", image[..., ::-1])
    assert encoded, "an image of uint8 RGB is a PNG"
    with replacing(path) as file:
        file.write(code.tobytes())
