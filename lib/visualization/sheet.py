"""Pictures out of pictures: titled panels side by side, and the files of pictures."""

import base64
from collections import abc
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np

from lib.runtime.files import replacing

MARGIN = 4  # pixels between panels
TITLE = 16  # pixels of a title's line
SHEET_COLUMNS = 6
FONT = cv2.FONT_HERSHEY_SIMPLEX


class Panel(NamedTuple):
    """A picture uint8 RGB ``[H, W, 3]`` and its title."""

    title: str
    picture: np.ndarray


def tile(panels: abc.Sequence[Panel], columns: int = SHEET_COLUMNS) -> np.ndarray:
    """Panels of one size row by row on white, each under its title: uint8 RGB."""
    height, width = panels[0].picture.shape[:2]
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    down, across = height + TITLE + MARGIN, width + MARGIN
    sheet = np.full((rows * down + MARGIN, columns * across + MARGIN, 3), 255, np.uint8)
    for number, (title, picture) in enumerate(panels):
        top, left = MARGIN + TITLE + number // columns * down, MARGIN + number % columns * across
        cv2.putText(sheet, title, (left, top - 5), FONT, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def resized(image: np.ndarray, width: int, height: int | None = None) -> np.ndarray:
    """The image with so many columns; without ``height`` it keeps its shape."""
    scale = width / image.shape[1]
    size = width, height or max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def encode(
    image: np.ndarray, kind: Literal["png", "jpeg"] = "png", width: int | None = None, quality: int = 85
) -> bytes:
    """The file of an image, uint8 RGB ``[H, W, 3]``, of at most ``width`` columns; ``quality`` is JPEG's."""
    if width is not None and image.shape[1] > width:
        image = resized(image, width)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if kind == "jpeg" else []
    encoded, code = cv2.imencode(f".{kind}", image[..., ::-1], options)
    assert encoded, "an image of uint8 RGB has a PNG and a JPEG"
    return code.tobytes()


def data_address(code: bytes, kind: str) -> str:
    """The ``data:`` address of an image file for an HTML page; ``kind`` is "png", "jpeg" or "svg+xml"."""
    return f"data:image/{kind};base64,{base64.b64encode(code).decode()}"


def write_png(path: Path, image: np.ndarray) -> None:
    """Write uint8 RGB ``[H, W, 3]``; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(encode(image))
