"""Reading an image: colors, regions, decoders that agree to the bit, and files that are none."""

import io
import struct
import sys
import zlib
from types import SimpleNamespace
from typing import get_args

import cv2
import numpy as np
import pytest
from crop_stores import natural
from PIL import Image

from lib.data.decoding import images, libturbojpeg
from lib.data.decoding.images import DECODERS, ImageError, find_decoder, open_image, read_image
from lib.data.pairs import DataConfig

PICTURE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8), (5, 5), 2)
INSTALLED = [name for name, decoder in DECODERS.items() if decoder.is_installed()]
BORDERS = [
    (0, 0, 60, 40),
    (0, 0, 1, 1),
    (59, 39, 60, 40),
    (0, 17, 60, 18),
    (31, 0, 33, 40),
    (7, 5, 50, 39),
    (44, 20, 60, 40),
]


class Memory:
    """An image that lies in no file, as one in a packed dataset does."""

    def __init__(self, data: bytes | None) -> None:
        self.data = data

    def read_bytes(self) -> bytes:
        if self.data is None:
            raise OSError("the store is closed")
        return self.data

    def __str__(self) -> str:
        return "train.lmdb/a/00000001.jpg"


def jpeg(*options: int, image: np.ndarray = PICTURE) -> bytes:
    return cv2.imencode(".jpg", image, options)[1].tobytes()


def without(data: bytes, marker: bytes) -> bytes:
    """The JPEG without its segments of one kind."""
    while marker in data[: data.index(b"\xff\xda")]:
        start = data.index(marker)
        data = data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]
    return data


def by_opencv(data: bytes, flag: int = cv2.IMREAD_COLOR) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), flag)[:, :, ::-1]


def turned() -> bytes:
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    return jpeg()[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg()[2:]


def by_pillow(image: Image.Image, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


SAMPLING = cv2.IMWRITE_JPEG_SAMPLING_FACTOR
KINDS = {
    "444": jpeg(SAMPLING, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    "422": jpeg(SAMPLING, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422),
    "420": jpeg(SAMPLING, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420),
    "440": jpeg(SAMPLING, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440),
    "411": jpeg(SAMPLING, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411),
    "gray": jpeg(image=PICTURE[:, :, 0]),
    "odd size": jpeg(image=PICTURE[:39, :59]),
    "one row": jpeg(image=PICTURE[:1]),
    "restarts": jpeg(cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "optimized": jpeg(cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    "progressive": jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "without Huffman tables": without(jpeg(), b"\xff\xc4"),  # as frames of MJPEG videos
    "turned by EXIF": turned(),
    "four colors": by_pillow(Image.fromarray(PICTURE).convert("CMYK"), quality=90),
    "red, green, blue": by_pillow(Image.fromarray(PICTURE), quality=90, keep_rgb=True),
    "png": cv2.imencode(".png", PICTURE)[1].tobytes(),
    "gray png": cv2.imencode(".png", PICTURE[:, :, 0])[1].tobytes(),
    "bmp": cv2.imencode(".bmp", PICTURE)[1].tobytes(),
}


def test_a_jpeg_is_read_as_by_imread_but_red_green_blue(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg() + b"bytes after the end do no harm")
    image = read_image(tmp_path / "a.jpg")
    np.testing.assert_array_equal(image, cv2.imread(str(tmp_path / "a.jpg"))[:, :, ::-1])
    assert image.flags.c_contiguous and image.flags.writeable


@pytest.mark.parametrize("kind", KINDS)
def test_every_decoder_gives_the_pixels_of_opencv(kind):
    for decoder in INSTALLED:
        assert_pixels_of_opencv(kind, decoder)


def assert_pixels_of_opencv(kind: str, decoder: str) -> None:
    whole = by_opencv(KINDS[kind])
    height, width = whole.shape[:2]
    image = open_image(Memory(KINDS[kind]), decoder)
    assert image.shape == (height, width)
    for left, top, right, bottom in BORDERS:
        region = min(left, width - 1), min(top, height - 1), min(right, width), min(bottom, height)
        left, top, right, bottom = region
        np.testing.assert_array_equal(image.pixels(region), whole[top:bottom, left:right], str(region))
        fresh = open_image(Memory(KINDS[kind]), decoder).pixels(region)
        np.testing.assert_array_equal(fresh, whole[top:bottom, left:right], str(region))
    np.testing.assert_array_equal(image.pixels(), whole)
    np.testing.assert_array_equal(read_image(Memory(KINDS[kind])), whole)


@pytest.mark.parametrize("shrink", [2, 4, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_a_reduced_region_is_that_part_of_the_whole(kind, shrink):
    image = open_image(Memory(KINDS[kind]))
    height, width = image.shape
    whole = image.reduced(shrink, (0, 0, width, height))
    assert whole.shape == (-(-height // shrink), -(-width // shrink), 3)
    top, right = height // 2 // shrink * shrink, -(-width // 2)
    part = image.reduced(shrink, (0, top, right, height))
    np.testing.assert_array_equal(part, whole[top // shrink :, : -(-right // shrink)])


@pytest.mark.parametrize("shrink", [2, 4, 8])
@pytest.mark.parametrize("kind", [".jpg", ".png"])
def test_a_pixel_of_a_shrunk_picture_is_about_the_mean_of_a_square(kind, shrink):
    """Shifted by half a square the difference is above 5."""
    picture = Memory(cv2.imencode(kind, natural(280, 280))[1].tobytes())
    side = 280 // shrink
    squares = open_image(picture).pixels().reshape(side, shrink, side, shrink, 3).mean(axis=(1, 3))
    found = open_image(picture).reduced(shrink, (0, 0, 280, 280))
    assert np.abs(found - squares).mean() < (1 if kind == ".jpg" else 0.51)


def test_the_shape_is_known_without_decoding(monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    for decoder in INSTALLED:
        assert open_image(Memory(KINDS["odd size"]), decoder).shape == (39, 59)


@pytest.mark.parametrize("decoder", INSTALLED)
def test_a_picture_is_decoded_once_unless_in_parts(decoder, monkeypatch):
    asked = []
    original, opencv = DECODERS[decoder].decode, cv2.imdecode
    if original is not None:
        spied = DECODERS[decoder]._replace(decode=lambda *a: asked.append("decode") or original(*a))
        monkeypatch.setitem(DECODERS, decoder, spied)
    monkeypatch.setattr(cv2, "imdecode", lambda *a: asked.append("imdecode") or opencv(*a))
    image = open_image(Memory(jpeg()), decoder)
    assert asked == []
    for region in ((0, 0, 9, 9), (9, 9, 30, 30), (10, 10, 20, 20)):
        assert image.pixels(region).shape[0] == region[3] - region[1]
    assert asked == {"opencv": ["imdecode"], "turbojpeg": ["decode"] * 2}.get(decoder, ["decode"])


@pytest.mark.parametrize("region", [(5, 5, 5, 9), (5, 9, 9, 9), (90, 0, 90, 40)])
def test_an_empty_region_is_not_decoded(region):
    assert open_image(Memory(without(jpeg(), b"\xff\xdb"))).pixels(region).shape == (0, 0, 3)


@pytest.mark.parametrize("decoder", INSTALLED)
def test_damage_that_opencv_passes_looks_as_it_looks_there(decoder):
    data = bytearray(jpeg(cv2.IMWRITE_JPEG_RST_INTERVAL, 1))
    data[data.index(b"\xff\xda") + 200] ^= 0x55
    for damaged in (bytes(data), jpeg()[:20] + bytes(7) + jpeg()[20:]):
        expected = by_opencv(damaged)
        image = open_image(Memory(damaged), decoder)
        np.testing.assert_array_equal(image.pixels((3, 2, 50, 39)), expected[2:39, 3:50])
        np.testing.assert_array_equal(image.pixels(), expected)


@pytest.mark.parametrize("decoder", INSTALLED)
def test_a_picture_borrows_no_tables_from_the_one_before(decoder):
    bare = without(jpeg(), b"\xff\xdb")
    for region in ((0, 0, 8, 8), None, (0, 0, 8, 8)):
        open_image(Memory(jpeg()), decoder).pixels(region)
        image = open_image(Memory(bare), decoder)
        assert image.shape == (40, 60)
        with pytest.raises(ImageError, match=r"^train.lmdb/a/00000001.jpg: no image, or a damaged one; copy or unpack"):
            image.pixels()
        with pytest.raises(ImageError):
            image.reduced(2, (0, 0, 8, 8))


@pytest.mark.parametrize("decoder", INSTALLED)
@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpeg_cut_anywhere_is_an_error(tmp_path, progressive, decoder):
    data = jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    thumbnail = jpeg(cv2.IMWRITE_JPEG_QUALITY, 5)
    with_thumbnail = data[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + data[2:]
    file = tmp_path / "cut.jpg"
    for whole in (data, with_thumbnail):
        file.write_bytes(whole)
        open_image(file, decoder).pixels()
        for length in range(0, len(whole), 101):
            file.write_bytes(whole[:length])
            with pytest.raises(ImageError, match=r"cut\.jpg"):
                open_image(file, decoder).pixels((0, 0, 4, 4))


@pytest.mark.parametrize("end", [b"", bytes(20)])
def test_the_end_mark_of_a_jpeg_is_asked_for(end):
    """Some versions of OpenCV return the truncated picture with a gray rest."""
    with pytest.raises(ImageError, match=r"1\.jpg: the image is truncated"):
        open_image(Memory(jpeg()[:-20] + end), "opencv")


def png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 9) + b"IDAT"


@pytest.mark.parametrize("name", ["missing.jpg", "text.jpg", "empty.jpg", "cut.png", "huge.png", "folder.jpg"])
def test_what_is_no_image_is_named(tmp_path, name):
    (tmp_path / "text.jpg").write_text("404 not found")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "cut.png").write_bytes(cv2.imencode(".png", PICTURE)[1].tobytes()[:-30])
    (tmp_path / "huge.png").write_bytes(png_header(200_000, 200_000))
    with pytest.raises(ImageError) as error:
        read_image(tmp_path / name)
    assert name in str(error.value) and "\n" not in str(error.value)


def tiff_header(width: int, height: int) -> bytes:
    """A directory with what a gray picture must state: sizes, bits, compression, colors, strip."""
    entries = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: width * height}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + directory + bytes(4)


def huge_jpeg(progressive: int, side: int = 30_000) -> bytes:
    data = bytearray(jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, progressive))
    frame = data.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    return bytes(data)


HUGE = {
    "plain": huge_jpeg(0),
    "progressive": huge_jpeg(1),
    "a tile more": huge_jpeg(0, 11_586),
    "png": png_header(30_000, 30_000),
    "bmp": struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0),
    "bmp of Pillow's first limit": struct.pack("<2sIHHIIiiHH24x", b"BM", 54, 0, 0, 54, 40, 12_000, -12_000, 1, 24),
    "ppm": b"P6 30000 30000 255\n",
    "tif": tiff_header(30_000, 30_000),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", HUGE)
def test_a_header_of_too_many_pixels_is_refused_before_any_is_made(kind, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(ImageError, match=r"^train.lmdb/a/00000001.jpg: its header states more than 134217728 pixels"):
        open_image(Memory(HUGE[kind]))


@pytest.mark.parametrize(("suffix", "values", "bits"), [
    (".png", PICTURE[:, :, 0].astype(np.uint16), 16),
    (".png", PICTURE.astype(np.uint16) * 257, 16),
    (".tif", PICTURE.astype(np.float32), 32),
])  # fmt: skip
def test_more_than_8_bits_a_value_are_refused_with_the_remedy(suffix, values, bits):
    data = cv2.imencode(suffix, values)[1].tobytes()
    for ask in (lambda image: image.shape, lambda image: image.pixels()):
        with pytest.raises(ImageError, match=f"1.jpg: has {bits} bits a value, and 8 are read; convert all frames"):
            ask(open_image(Memory(data)))


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_fewer_bits_and_palettes_are_read(bits):
    gray = PICTURE[:, :, 0] >> (8 - bits)
    picture = Image.fromarray(gray.astype(bool) if bits == 1 else gray).convert("1" if bits == 1 else "P")
    file = io.BytesIO()
    picture.save(file, "PNG", bits=bits)
    np.testing.assert_array_equal(read_image(Memory(file.getvalue())), by_opencv(file.getvalue()))


def test_a_store_that_fails_is_named():
    with pytest.raises(ImageError, match=r"00000001.jpg: cannot read the image \(the store is closed\)"):
        open_image(Memory(None))


@pytest.fixture
def machine(monkeypatch):
    """Makes a machine on which only these packages and libraries are installed."""

    def install(*packages: str, libturbojpeg_3: bool = False) -> None:
        monkeypatch.setattr(images, "find_spec", lambda name: name if name in packages else None)
        if "jpeg4py" not in packages:
            monkeypatch.setitem(sys.modules, "jpeg4py", None)
        monkeypatch.setattr(libturbojpeg, "load_library", lambda: object() if libturbojpeg_3 else None)
        find_decoder.cache_clear()

    yield install
    find_decoder.cache_clear()


def test_auto_is_the_fastest_that_is_installed(machine):
    machine("simplejpeg", "jpeg4py", libturbojpeg_3=True)
    assert find_decoder("auto") == "turbojpeg"
    machine("simplejpeg", "jpeg4py")
    assert find_decoder("auto") == "simplejpeg"
    machine()
    assert find_decoder("auto") == "opencv"
    find_decoder("auto")
    np.testing.assert_array_equal(open_image(Memory(jpeg())).pixels(), by_opencv(jpeg()))


def test_the_configuration_offers_every_decoder():
    assert set(get_args(DataConfig.model_fields["decoder"].annotation)) == {"auto", *DECODERS}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("turbojpeg", "decoder 'turbojpeg': its library is not installed; pip install turbojpeg, or libturbojpeg of"),
        ("simplejpeg", "decoder 'simplejpeg': its library is not installed; pip install simplejpeg, or use the"),
        ("jpeg4py", "decoder 'jpeg4py': its library is not installed; pip install jpeg4py, apt install libturbojpeg0"),
        ("pillow", "decoder 'pillow' is unknown; choose auto, turbojpeg, simplejpeg, opencv, jpeg4py"),
    ],
)
def test_a_decoder_that_is_missing_says_what_to_install(machine, name, message):
    machine()
    with pytest.raises(ValueError, match=message) as error:
        open_image(Memory(jpeg()), name)
    assert "\n" not in str(error.value) and not isinstance(error.value, ImageError)


def test_jpeg4py_needs_its_library(machine, monkeypatch):
    def initialize() -> None:
        raise OSError("Could not load libjpeg-turbo library")

    machine("jpeg4py")
    monkeypatch.setitem(sys.modules, "jpeg4py", SimpleNamespace(initialize=initialize))
    with pytest.raises(ValueError, match=r"^decoder 'jpeg4py': its library is not installed; .* libturbojpeg0"):
        find_decoder("jpeg4py")
