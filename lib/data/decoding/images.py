"""Reading one image: its bytes at once, then the pixels that are needed, by the decoder that is asked for."""

import functools
import io
import math
from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from lib.data.decoding import libturbojpeg
from lib.data.decoding.jpeg import START, JpegHeader, is_truncated, read_header
from lib.data.types import Location
from lib.geometry.aligned import Region

# By Pillow's names: the formats that OpenCV reads beside JPEG, whatever the file's suffix.
_FORMATS = ("PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM", "JPEG2000", "SUN")
MAX_PIXELS = 2**27  # of an image: 400 MB of RGB; a frame of an 8K video has a quarter of it
# Flags that decode a JPEG at 1 / 2, 1 / 4 and 1 / 8 of its size.
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


class ImageError(ValueError):
    """An image file that is missing, damaged or no image; the message names it in one line."""


class EncodedImage:
    """An image file's bytes, decoded where and when pixels are asked for. Made by ``open_image``, or by code that knows
    the bytes (``data``) to be a plain JPEG and its ``header``; ``location`` is for messages, ``decoder`` one of
    ``DECODERS``.

    With every decoder the same files are damaged and the pixels are the same: all of them are libjpeg-turbo for a plain
    JPEG, and OpenCV decodes all that a decoder refuses or warns of (PNG, CMYK, rotation by EXIF, damage).
    """

    def __init__(self, location: object, data: bytes, decoder: str, header: JpegHeader | None) -> None:
        self._location, self.data, self._header = location, data, header
        self._decoder = DECODERS[decoder]
        # The left and top of the region that was decoded last, and its pixels.
        self._decoded: tuple[int, int, np.ndarray] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels; of a plain JPEG without decoding. Raises ``ImageError``."""
        if self._header is not None:
            return self._header.height, self._header.width
        _, _, whole = self._decoded or self._decode(None)
        return whole.shape[:2]

    def pixels(self, region: Region | None = None) -> np.ndarray:
        """uint8 RGB ``[h, w, 3]`` of ``region``: (left, top, right, bottom) in pixels, ends exclusive; all by default.

        Nothing is decoded for an empty region, or for a part of the last one that was. Do not write into the result: it
        may be part of an array that other calls return too. Raises ``ImageError``.
        """
        height, width = self.shape
        left, top, right, bottom = region = region or (0, 0, width, height)
        if left >= right or top >= bottom:
            return np.empty((0, 0, 3), dtype=np.uint8)
        assert min(left, top) >= 0 and right <= width and bottom <= height, (region, self.shape)
        x, y, part = self._decoded or self._decode(region)
        if left < x or top < y or right - x > part.shape[1] or bottom - y > part.shape[0]:
            x, y, part = self._decode(region)
        return part[top - y : bottom - y, left - x : right - x]

    def reduced(self, shrink: int, region: Region) -> np.ndarray:
        """A region of the image at 1 / ``shrink`` of its size (2, 4 or 8), rounded up, for less work: a pixel is about
        the mean of ``shrink x shrink`` ones.

        ``region`` is in pixels of the whole; its left and top must be multiples of ``shrink``. Raises ``ImageError``.
        """
        left, top, right, bottom = region
        assert left % shrink == top % shrink == 0, (region, shrink)
        whole = mean_of_squares(self.pixels(), shrink) if self._header is None else self._by_opencv(shrink)
        return whole[top // shrink : -(-bottom // shrink), left // shrink : -(-right // shrink)]

    def _decode(self, region: Region | None) -> tuple[int, int, np.ndarray]:
        """Decode a region (None: all), or all if the decoder or the file allows no less."""
        header, decoder, pixels = self._header, self._decoder, None
        if header is not None and decoder.decode is not None:
            region = region if decoder.regions else (0, 0, header.width, header.height)
            pixels = decoder.decode(self.data, header, region)
        self._decoded = (0, 0, self._by_opencv()) if pixels is None else (*region[:2], pixels)
        return self._decoded

    def _by_opencv(self, shrink: int = 1) -> np.ndarray:
        """The whole image at 1 / ``shrink``; ``ImageError`` if OpenCV refuses it."""
        flags = _REDUCED.get(shrink, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        try:
            image = cv2.imdecode(np.frombuffer(self.data, np.uint8), flags) if self.data else None
        except cv2.error:  # too large, by its header
            image = None
        header = self._header
        if image is None or header and image.shape[:2] != (-(-header.height // shrink), -(-header.width // shrink)):
            raise ImageError(f"{self._location}: no image, or a damaged one; copy or unpack it again")
        if image.dtype != np.uint8:
            raise ImageError(
                f"{self._location}: has {8 * image.itemsize} bits a value, and 8 are read; convert all frames of the "
                "sequence by one scale, such as 255 / the largest value in it"
            )
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def open_image(location: Location, decoder: str = "auto") -> EncodedImage:
    """Read the file, and decode nothing yet. For ``decoder`` see ``find_decoder``.

    Raises ``ImageError`` for a file that cannot be read, for one of more than ``MAX_PIXELS``, and for a JPEG without
    its end mark: some versions of OpenCV decode it and leave the rest gray.
    """
    name = find_decoder(decoder)
    try:
        data = location.read_bytes()
    except OSError as error:
        raise ImageError(f"{location}: cannot read the image ({error.strerror or error})") from error
    if data.startswith(START):
        if is_truncated(data):
            raise ImageError(f"{location}: the image is truncated; copy or unpack it again")
        header, pixels = read_header(data)
    else:
        header, pixels = None, _count_pixels(data)
    if pixels > MAX_PIXELS:
        raise ImageError(
            f"{location}: its header states more than {MAX_PIXELS} pixels, the most that are read; make it smaller, or "
            "copy it again"
        )
    return EncodedImage(location, data, name, header)


def _count_pixels(data: bytes) -> float:
    """The number of pixels by the header of an image that is no JPEG; 0 if only decoding shows it."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return image.height * image.width
    except Image.DecompressionBombError:
        return math.inf
    except Exception:  # Pillow has many for damage; OpenCV judges it
        return 0


def read_image(location: Location) -> np.ndarray:
    """The image as uint8 RGB ``[H, W, 3]``, contiguous, rotated by its EXIF data; gray becomes RGB.

    Raises ``ImageError`` as ``open_image``.
    """
    return np.ascontiguousarray(open_image(location).pixels())


@functools.cache
def find_decoder(name: str) -> str:
    """The decoder that ``name`` means on this machine, one of ``DECODERS``; "auto" is the fastest that is installed.

    Raises ``ValueError`` in one line, with the remedy, for one that is unknown or whose library is missing.
    """
    if name == "auto":
        return next(known for known, decoder in DECODERS.items() if decoder.is_installed())
    if name not in DECODERS:
        raise ValueError(f"decoder {name!r} is unknown; choose auto, {', '.join(DECODERS)}")
    if not DECODERS[name].is_installed():
        raise ValueError(
            f"decoder {name!r}: its library is not installed; {DECODERS[name].remedy}, or use the decoder auto"
        )
    return name


def mean_of_squares(image: np.ndarray, side: int) -> np.ndarray:
    """The means of squares of ``side`` pixels; the last row and column are repeated to whole squares."""
    height, width = image.shape[:2]
    image = cv2.copyMakeBorder(image, 0, -height % side, 0, -width % side, cv2.BORDER_REPLICATE)
    return cv2.resize(image, (image.shape[1] // side, image.shape[0] // side), interpolation=cv2.INTER_AREA)


def _decode_simplejpeg(data: bytes, header: JpegHeader, _all: Region) -> np.ndarray | None:
    import simplejpeg  # here: it need not be installed

    try:
        pixels = simplejpeg.decode_jpeg(data)
    except ValueError:
        return None
    return pixels if pixels.shape == (header.height, header.width, 3) else None


def _decode_jpeg4py(data: bytes, header: JpegHeader, _all: Region) -> np.ndarray | None:
    import jpeg4py  # here: it need not be installed

    pixels = np.empty((header.height, header.width, 3), np.uint8)
    image = jpeg4py.JPEG(np.frombuffer(data, np.uint8))
    try:
        return image.decode(pixels)
    except jpeg4py.JPEGRuntimeError:
        return None
    finally:
        # The module would keep it for the next image, and lend this one's tables to an image that lacks them.
        if image.decompressor is not None:
            image.decompressor.release()
            image.decompressor = None


def _has_jpeg4py() -> bool:
    try:
        import jpeg4py

        jpeg4py.initialize()
    except (ImportError, OSError):  # without the package, or without libturbojpeg
        return False
    return True


class _Decoder(NamedTuple):
    """``remedy`` installs it. ``decode`` takes a plain JPEG's bytes, its header and a region, the whole unless the
    decoder can decode ``regions``; it returns None to leave the image to OpenCV."""

    is_installed: Callable[[], bool]
    remedy: str = ""
    decode: Callable[[bytes, JpegHeader, Region], np.ndarray | None] | None = None
    regions: bool = False


# "auto" takes the first that is installed, the fastest; jpeg4py, which users may have, does the same as simplejpeg.
DECODERS = {
    "turbojpeg": _Decoder(
        lambda: libturbojpeg.load_library() is not None,
        "pip install turbojpeg, or libturbojpeg of version 3",
        libturbojpeg.decode,
        regions=True,
    ),
    "simplejpeg": _Decoder(lambda: find_spec("simplejpeg") is not None, "pip install simplejpeg", _decode_simplejpeg),
    "opencv": _Decoder(lambda: True),
    "jpeg4py": _Decoder(
        _has_jpeg4py, "pip install jpeg4py, apt install libturbojpeg0 (Ubuntu: libturbojpeg)", _decode_jpeg4py
    ),
}
