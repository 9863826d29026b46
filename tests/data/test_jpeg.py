"""The header of a JPEG: sizes as the file has them, and no mistake about what is plain."""

import struct

import cv2
import numpy as np
import pytest

from lib.data.decoding.jpeg import JpegHeader, is_truncated, read_header

PICTURE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (41, 63, 3), dtype=np.uint8), (5, 5), 2)
SAMPLING = {
    "444": (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, 8),
    "422": (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422, 16),
    "420": (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, 16),
    "440": (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440, 8),
    "411": (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411, 32),
}


def encode(*options: int, image: np.ndarray = PICTURE) -> bytes:
    return cv2.imencode(".jpg", image, options)[1].tobytes()


def with_app1(content: bytes) -> bytes:
    data = encode()
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + data[2:]


def exif(order: str, entries: list[tuple[int, int]]) -> bytes:
    head = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(order + "IH", 8, len(entries))
    return b"Exif\0\0" + head + directory + b"".join(struct.pack(order + "HHIHH", t, 3, 1, v, 0) for t, v in entries)


@pytest.mark.parametrize("sampling", SAMPLING)
def test_size_and_unit(sampling):
    option, unit = SAMPLING[sampling]
    found = read_header(encode(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, option))
    assert found == (JpegHeader(height=41, width=63, unit=unit), 41 * 63)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_turned_picture_is_not_plain_as_opencv_turns_it(order):
    for orientation in range(1, 9):
        data = with_app1(exif(order, [(0x0100, 63), (0x0112, orientation)]))
        turned = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        upright = cv2.imdecode(np.frombuffer(encode(), np.uint8), cv2.IMREAD_COLOR)
        assert np.array_equal(turned, upright) == (orientation == 1)
        header, pixels = read_header(data)
        assert (header is not None) == (orientation == 1) and pixels == 41 * 63


def test_other_application_data_leave_it_plain():
    for content in (b"http://ns.adobe.com/xap/1.0/\0<x/>", b"", exif("<", []), exif(">", [(0x0100, 8)])):
        assert read_header(with_app1(content))[0] == JpegHeader(41, 63, 16)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_turned_picture_is_not_plain_even_if_the_rest_of_its_exif_is_lost():
    whole = exif("<", [(0x0100, 63), (0x0112, 6), (0x0101, 41)])
    entry_ends = whole.index(b"\x12\x01") + 10
    for length in range(entry_ends, len(whole)):
        assert read_header(with_app1(whole[:length]))[0] is None


def changed(data: bytes, position: int, new: int) -> bytes:
    frame = data.index(b"\xff\xc0")
    return data[: frame + position] + bytes([new]) + data[frame + position + 1 :]


@pytest.mark.parametrize(("data", "found"), [
    (encode(image=PICTURE[:, :, 0]), (JpegHeader(41, 63, 8), 41 * 63)),
    (encode(cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (None, 41 * 63)),
    (changed(encode(), 9, 2), (None, 0)),  # two colors
    (changed(encode(), 9, 4), (None, 41 * 63)),  # four
    (changed(encode(), 4, 12), (None, 0)),  # 12 bits
    (changed(changed(encode(), 5, 0), 6, 0), (None, 0)),  # no row
])  # fmt: skip
def test_kinds_of_pictures(data, found):
    assert read_header(data) == found


def test_what_has_no_header_is_not_plain():
    data = encode()
    for length in range(data.index(b"\xff\xc0") + 4):
        assert read_header(data[:length]) == (None, 0), length
    assert read_header(b"\x89PNG") == (None, 0)


def test_truncated_is_without_an_end_mark_after_the_last_scan():
    data = encode(cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert not is_truncated(data) and not is_truncated(data + b"more")
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 3
    for length in (scans[0] + 2, scans[3], scans[3] + 2, len(data) - 1):
        assert is_truncated(data[:length])
        assert is_truncated(b"\xff\xd8 a thumbnail \xff\xd9" + data[:length])
    assert not is_truncated(data[: scans[0]])
