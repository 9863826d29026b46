"""Regions of a JPEG by libjpeg-turbo 3: equal to parts of the whole, with nothing left over from earlier pictures."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.data.decoding import libturbojpeg
from lib.data.decoding.jpeg import JpegHeader, read_header

pytestmark = pytest.mark.skipif(
    libturbojpeg.load_library() is None, reason="neither the package turbojpeg nor the system has libturbojpeg 3"
)
RNG = np.random.default_rng(0)
PICTURE = cv2.GaussianBlur(RNG.integers(0, 255, (75, 101, 3), dtype=np.uint8), (5, 5), 1.5)
WHOLE = 0, 0, 101, 75
SAMPLING = [
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
]


def encode(*options: int) -> bytes:
    return cv2.imencode(".jpg", PICTURE, options)[1].tobytes()


@pytest.mark.parametrize("sampling", SAMPLING)
def test_a_region_is_that_part_of_the_whole(sampling):
    data = encode(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling)
    header = read_header(data)[0]
    height, width = 75, 101
    whole = libturbojpeg.decode(data, header, WHOLE)
    assert whole.shape == (height, width, 3)
    regions = [(0, 0, width, height), (0, 0, 1, 1), (width - 1, height - 1, width, height)]
    for _ in range(60):
        left, top = RNG.integers(0, width), RNG.integers(0, height)
        right, bottom = RNG.integers(left, width) + 1, RNG.integers(top, height) + 1
        regions.append(tuple(int(side) for side in (left, top, right, bottom)))
    for left, top, right, bottom in regions:
        part = libturbojpeg.decode(data, header, (left, top, right, bottom))
        np.testing.assert_array_equal(part, whole[top:bottom, left:right], str((left, top, right, bottom)))


def test_of_a_region_little_more_is_decoded():
    data = encode()
    part = libturbojpeg.decode(data, read_header(data)[0], (50, 20, 60, 30))
    assert part.base.shape == (10, 48, 3)  # one unit of 16 columns, and one on each side


def test_damage_is_no_picture():
    data = encode()
    scan = data.index(b"\xff\xda")
    for damaged in (data[: scan + 200], data[:scan] + data[scan + 8 :], data[:40]):
        assert libturbojpeg.decode(damaged, read_header(data)[0], WHOLE) is None


def test_a_header_of_another_picture_is_refused():
    """Or the library would write beyond the memory that the header asks for."""
    data = encode()
    assert libturbojpeg.decode(data, JpegHeader(74, 101, 16), WHOLE) is None
    assert libturbojpeg.decode(data, JpegHeader(75, 100, 16), WHOLE) is None


def test_threads_do_not_disturb_each_other():
    pictures = [encode(cv2.IMWRITE_JPEG_QUALITY, quality) for quality in range(40, 100, 2)]
    regions = [(place, place, place + 40, place + 30) for place in range(len(pictures))]

    def part(number: int) -> np.ndarray:
        return libturbojpeg.decode(pictures[number], read_header(pictures[number])[0], regions[number])

    with ThreadPoolExecutor(4) as threads:
        parts = list(threads.map(part, [*range(len(pictures))] * 4))
    for number, result in enumerate(parts):
        np.testing.assert_array_equal(result, part(number % len(pictures)))


MANY = """
import resource, sys
from lib.data.decoding import libturbojpeg
from lib.data.decoding.jpeg import read_header
data = open(sys.argv[1], "rb").read()
for count in (200, 2000):
    for number in range(count):
        shown = data if number % 2 else data[: 400 + number % 100]
        libturbojpeg.decode(shown, read_header(data)[0], (8, 8, 40, 24))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_many_pictures_take_no_more_memory(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encode())
    run = subprocess.run(
        [sys.executable, "-c", MANY, str(tmp_path / "a.jpg")], capture_output=True, text=True, check=True
    )
    few, many = map(int, run.stdout.split())
    assert many - few < 1000  # KiB; a handle that is not given back takes about 9


@pytest.fixture
def find(monkeypatch):
    """Looks for the library anew, with the answers given to where it may lie."""

    def look(package: object, system: str | None):
        monkeypatch.setattr(libturbojpeg, "find_spec", lambda name: package)
        monkeypatch.setattr(libturbojpeg, "find_library", lambda name: system)
        return libturbojpeg.load_library.__wrapped__()

    return look


def test_the_package_brings_the_library():
    package = find_spec("turbojpeg")
    if package is None:
        pytest.skip("the package turbojpeg is not installed; the library is the system's")
    assert str(Path(package.origin).parent) in libturbojpeg.load_library()._name


def test_otherwise_it_is_the_systems(find):
    name = libturbojpeg.load_library()._name
    assert find(None, name)._name == name
    other_package = find_spec("json")  # there is another package of the same name, without a library
    assert find(other_package, name)._name == name
    assert find(other_package, None) is None


def test_a_library_of_an_older_version_or_damaged_is_none(find, tmp_path):
    assert find(None, find_library("c")) is None
    (tmp_path / "libturbojpeg.so.0").write_bytes(b"\x7fELF and no more")
    assert find(None, str(tmp_path / "libturbojpeg.so.0")) is None
