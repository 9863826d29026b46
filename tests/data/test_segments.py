"""Rectangles of a record: the same pixels as in the whole picture, and nothing else for a record."""

import numpy as np
import pytest
from crop_stores import natural

from lib.data.decoding.images import DECODERS, find_decoder, open_image
from lib.data.stores.segments import SEGMENT, count_segments, encode_record, pick_segments


class Rectangle:
    """The location of some segments of a record."""

    def __init__(self, record: bytes, columns: int, rows: int, chosen: tuple[int, int, int, int]) -> None:
        self._arguments = record, columns, rows, chosen

    def read_bytes(self) -> bytes:
        return pick_segments(*self._arguments)


@pytest.fixture(scope="module")
def record() -> tuple[bytes, int, int]:
    """A record with its columns and rows of segments; the picture's own width and height are no multiples of theirs."""
    width, height = 5 * SEGMENT[0] - 7, 9 * SEGMENT[1] - 5
    return encode_record(natural(height, width), 90), *count_segments(width, height)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_rectangle_is_as_in_the_whole_but_at_its_sides(record, decoder):
    """Where colors are smoothed with neighbors that are not there."""
    try:
        find_decoder(decoder)
    except ValueError as error:
        pytest.skip(str(error))
    assert record[1:] == (5, 9)

    def decode(*chosen: int) -> np.ndarray:
        return open_image(Rectangle(*record, chosen), decoder).pixels()

    whole = decode(0, 0, 5, 9)
    assert whole.shape == (9 * SEGMENT[1], 5 * SEGMENT[0], 3)
    # Of more than 8 segments, too: the numbers of markers begin again.
    for left, top, right, bottom in ((0, 0, 1, 1), (1, 2, 4, 7), (2, 0, 5, 9), (0, 8, 5, 9), (4, 3, 5, 4)):
        part = decode(left, top, right, bottom)
        expected = whole[top * SEGMENT[1] : bottom * SEGMENT[1], left * SEGMENT[0] : right * SEGMENT[0]]
        np.testing.assert_array_equal(part[1:-1, 1:-1], expected[1:-1, 1:-1])


def test_the_whole_is_the_picture():
    picture = natural(61, 99)
    code = Rectangle(encode_record(picture, 95), 4, 4, (0, 0, 4, 4))
    difference = np.abs(open_image(code).pixels()[:61, :99].astype(int) - picture)
    assert difference.mean() < 2 and difference.max() < 20


DAMAGE = {
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "no table": lambda data: data[2 * 45 :],
    "cut short": lambda data: data[:-1000],
    "a length": lambda data: (int.from_bytes(data[:2], "little") + 60_000 & 0xFFFF).to_bytes(2, "little") + data[2:],
    "another table": lambda data: b"\xff\xff" * 45 + data[90:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_no_record_is_refused(record, damage):
    data, columns, rows = record
    for chosen in ((0, 0, columns, rows), (1, 2, 3, 4)):
        with pytest.raises(ValueError):
            pick_segments(damage(data), columns, rows, chosen)
