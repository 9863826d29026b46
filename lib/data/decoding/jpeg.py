"""Headers of JPEG files: their size, and whether every decoder gives the same pixels."""

import struct
from typing import NamedTuple

START, SCAN, END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
# Markers (ITU-T T.81, table B.1): sequential frames with Huffman coding; other kinds of frame; those without a length.
_PLAIN_FRAMES = {0xC0, 0xC1}
_OTHER_FRAMES = {0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_BARE = range(0xD0, 0xDA)
_SCAN, _APP1 = 0xDA, 0xE1
# In an APP1 segment: "Exif", two zeros, then a TIFF header (Exif 2.3, sections 4.5.4 and 4.6).
_TIFF, _ORIENTATION, _UPRIGHT = 6, 0x0112, 1


class JpegHeader(NamedTuple):
    """Size of the image in pixels, and the width of its coded units (8 times the largest horizontal sampling
    factor)."""

    height: int
    width: int
    unit: int


def read_frame(data: bytes) -> tuple[int, int, int] | None:
    """Bits of a value, height and width by the first frame header of a JPEG of any kind; None if it has none.

    Bytes between segments are skipped, as libjpeg does.
    """
    position = len(START)
    while (position := data.find(b"\xff", position)) >= 0 and position + 9 <= len(data):
        marker, length = struct.unpack_from(">BH", data, position + 1)
        if marker in _PLAIN_FRAMES | _OTHER_FRAMES:
            return struct.unpack_from(">BHH", data, position + 4)
        if marker == 0xFF:
            position += 1
        else:
            position += 2 if marker == 0 or marker in _BARE else 2 + length
    return None


def is_truncated(data: bytes) -> bool:
    """Whether a scan of a JPEG begins and no end mark follows."""
    return data.find(SCAN, data.rfind(END) + 1) >= 0


def read_header(data: bytes) -> JpegHeader | None:
    """The header of a plain JPEG: 8 bits, gray or three colors, sequential, Huffman coded, upright. None for all else.

    Every libjpeg-turbo decodes a plain file to the same pixels. Decoders differ in rotation by EXIF, in CMYK, and in
    the missing parts of a damaged progressive file. Anything odd before the first scan makes a file not plain.
    """
    if not data.startswith(START):
        return None
    header, position = None, len(START)
    while position + 4 <= len(data):
        fill, marker, length = struct.unpack_from(">BBH", data, position)
        begin, end = position + 4, position + 2 + length
        if fill != 0xFF or marker < 0xC0 or marker in _BARE or length < 2 or end > len(data):
            return None
        if marker == _SCAN:
            return header
        if marker in _PLAIN_FRAMES:
            header = _read_frame(data[begin:end]) if header is None else None
            if header is None:
                return None
        elif marker in _OTHER_FRAMES or (marker == _APP1 and not _is_upright(data[begin:end])):
            return None
        position = end
    return None


def _read_frame(segment: bytes) -> JpegHeader | None:
    """T.81, section B.2.2."""
    if len(segment) < 6:
        return None
    bits, height, width, components = struct.unpack_from(">BHHB", segment)
    if bits != 8 or components not in (1, 3) or len(segment) != 6 + 3 * components:
        return None
    factors = [byte >> 4 for byte in segment[7::3]]
    if not height * width or 0 in factors:
        return None
    return JpegHeader(height, width, 8 * max(factors))


def _is_upright(segment: bytes) -> bool:
    """Whether no entry of the first directory states a rotation; False if it cannot be read to its end."""
    order = {b"II": "<", b"MM": ">"}.get(segment[_TIFF : _TIFF + 2])
    if order is None:
        return True  # no EXIF, such as XMP
    try:
        start = _TIFF + struct.unpack_from(order + "I", segment, _TIFF + 4)[0]
        (entries,) = struct.unpack_from(order + "H", segment, start)
        for entry in range(start + 2, start + 2 + 12 * entries, 12):
            tag, value = struct.unpack_from(order + "H6xH", segment, entry)
            if tag == _ORIENTATION and value != _UPRIGHT:
                return False
    except struct.error:
        return False
    return True
