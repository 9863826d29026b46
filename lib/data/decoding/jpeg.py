"""Headers of JPEG files: their size, and whether every decoder gives the same pixels."""

import io
import re
from typing import NamedTuple

from PIL.JpegImagePlugin import JpegImageFile

START, SCAN, END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
# The tag of an orientation in EXIF (0x0112), its type, the count 1 and a value other than 1, in both orders of bytes
# (Exif 2.3, section 4.6.2).
_TURNED = re.compile(b"\x12\x01..\x01\0\0\0(?!\x01\0)|\x01\x12..\0\0\0\x01(?!\0\x01)", re.DOTALL)


class JpegHeader(NamedTuple):
    """Size of a plain JPEG in pixels, and the width of its coded units (8 times the largest horizontal sampling
    factor)."""

    height: int
    width: int
    unit: int


def read_header(data: bytes) -> tuple[JpegHeader | None, int]:
    """The header of a plain JPEG or None, and the number of pixels (0 if unknown).

    A JPEG is plain if it has 8 bits, is gray or of three colors, not progressive, and upright. Every libjpeg-turbo that
    takes such a file decodes it to the same pixels. Decoders differ in rotation by EXIF, in CMYK, and in the missing
    parts of a damaged progressive file.
    """
    try:
        image = JpegImageFile(io.BytesIO(data))
    except Exception:  # Pillow has many for damage, and for more than 8 bits; OpenCV judges it
        return None, 0
    pixels = image.width * image.height
    plain = image.layers in (1, 3) and "progressive" not in image.info
    if not plain or not pixels or _TURNED.search(image.info.get("exif", b"")):
        return None, pixels
    return JpegHeader(image.height, image.width, 8 * max(layer[1] for layer in image.layer)), pixels


def is_truncated(data: bytes) -> bool:
    """Whether a scan of a JPEG begins and no end mark follows."""
    return data.find(SCAN, data.rfind(END) + 1) >= 0
