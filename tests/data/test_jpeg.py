"""The header of a JPEG: sizes as the file has them, and no mistake about what is plain."""

import struct

import cv2
import numpy as np
import pytest

from lib.data.decoding.jpeg import JpegHeader, is_truncated, read_frame, read_header

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
    header = read_header(encode(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, option))
    assert header == JpegHeader(height=41, width=63, unit=unit)


def test_a_gray_picture_is_plain():
    assert read_header(encode(image=PICTURE[:, :, 0])) == JpegHeader(41, 63, 8)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_turned_picture_is_not_plain_as_opencv_turns_it(order):
    for orientation in range(1, 9):
        data = with_app1(exif(order, [(0x0100, 63), (0x0112, orientation)]))
        turned = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        upright = cv2.imdecode(np.frombuffer(encode(), np.uint8), cv2.IMREAD_COLOR)
        assert np.array_equal(turned, upright) == (orientation == 1)
        assert (read_header(data) is not None) == (orientation == 1)


def test_other_application_data_leave_it_plain():
    for content in (b"http://ns.adobe.com/xap/1.0/\0<x/>", b"", exif("<", []), exif(">", [(0x0100, 8)])):
        assert read_header(with_app1(content)) == JpegHeader(41, 63, 16)


def test_exif_cut_short_is_not_plain():
    whole = exif("<", [(0x0100, 63), (0x0112, 1)])
    for length in range(8, len(whole) - 2):
        assert read_header(with_app1(whole[:length])) is None


def changed(data: bytes, position: int, new: int) -> bytes:
    frame = data.index(b"\xff\xc0")
    return data[: frame + position] + bytes([new]) + data[frame + position + 1 :]


@pytest.mark.parametrize(
    ("position", "new"),
    [(1, 0xC3), (1, 0xC9), (3, 16), (4, 12), (9, 2), (9, 4), (11, 0x01)],
    ids=["lossless", "arithmetic", "length", "12 bits", "two colors", "four colors", "sampling factor 0"],
)
def test_rare_kinds_are_not_plain(position, new):
    assert read_header(changed(encode(), position, new)) is None


def test_a_picture_of_no_pixels_is_not_plain():
    assert read_header(changed(changed(encode(), 5, 0), 6, 0)) is None


def test_the_frame_of_every_kind_of_jpeg_is_found_as_libjpeg_finds_it():
    data = encode()
    for kind in (data, encode(cv2.IMWRITE_JPEG_PROGRESSIVE, 1), changed(data, 1, 0xC3), with_app1(encode())):
        assert read_frame(kind) == (8, 41, 63)
    assert read_frame(changed(data, 4, 12)) == (12, 41, 63)
    for odd in (data[:20] + b"\0\0lost" + data[20:], data[:20] + b"\xff\xff" + data[20:]):
        assert cv2.imdecode(np.frombuffer(odd, np.uint8), cv2.IMREAD_COLOR).shape == (41, 63, 3)
        assert read_frame(odd) == (8, 41, 63)
    frame = data.index(b"\xff\xc0")
    for length in range(frame + 9):
        assert read_frame(data[:length]) is None


def test_a_progressive_picture_is_not_plain():
    assert read_header(encode(cv2.IMWRITE_JPEG_PROGRESSIVE, 1)) is None


def test_what_is_odd_before_the_scan_is_not_plain():
    data = encode()
    assert read_header(b"\x89PNG") is None
    for length in range(data.index(b"\xff\xda") + 4):
        assert read_header(data[:length]) is None, length
    assert read_header(data[:2] + b"\0" + data[2:]) is None
    assert read_header(data[:2] + b"\xff\xe0\0\1" + data[2:]) is None
    assert read_header(data[:2] + b"\xff\xfe\0\4hi" + data[2:]) is not None  # a comment
    for marker in (0x01, 0xD0, 0xD8, 0xD9):
        assert read_header(data[:2] + bytes([0xFF, marker]) + b"\0\4hi" + data[2:]) is None
    frame, tables = data.index(b"\xff\xc0"), data.index(b"\xff\xc4")
    assert read_header(data[:tables] + data[frame:tables] + data[tables:]) is None
    assert read_header(data[:frame] + data[tables:]) is None


def test_truncated_is_without_an_end_mark_after_the_last_scan():
    data = encode(cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert not is_truncated(data) and not is_truncated(data + b"more")
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 3
    for length in (scans[0] + 2, scans[3], scans[3] + 2, len(data) - 1):
        assert is_truncated(data[:length])
        assert is_truncated(b"\xff\xd8 a thumbnail \xff\xd9" + data[:length])
    assert not is_truncated(data[: scans[0]])
