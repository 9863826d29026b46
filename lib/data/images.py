"""Reading one image file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"


class ImageError(ValueError):
    """An image file that is missing, damaged or no image; the message names it in one line."""


def read_image(path: Path) -> np.ndarray:
    """The image as uint8 RGB ``[H, W, 3]``, contiguous, turned as its EXIF data say; grey becomes RGB.

    Raises ``ImageError``. A JPEG that ends before its end mark counts as damaged: some versions of OpenCV decode it and
    leave the rest grey.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot read the image ({error.strerror})") from error
    if data.startswith(_JPEG_START) and data.rfind(_JPEG_END) < data.rfind(_JPEG_SCAN):
        raise ImageError(f"{path}: the image is truncated; copy or unpack it again")
    image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise ImageError(f"{path}: no image, or a damaged one; copy or unpack it again")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
