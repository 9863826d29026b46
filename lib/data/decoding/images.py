"""Reading one image: its bytes at once, then the pixels that are needed, by the decoder that is asked for."""

import functools
import io
import math
import struct
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

_PNG = b"\x89PNG\r\n\x1a\n"
# By Pillow's names: the formats that OpenCV reads beside JPEG and PNG, whatever the file's suffix.
_FORMATS = ("BMP", "WEBP", "TIFF", "GIF", "PPM", "JPEG2000", "SUN")
MAX_PIXELS = 2**27  # of an image: 400 MB of RGB; a frame of an 8K video has a quarter of it
# Flags that decode a JPEG at 1 / 2, 1 / 4 and 1 / 8 of its size.
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


class ImageError(ValueError):
    """An image file that is missing, damaged or no image; the message names it in one line."""


class EncodedImage:
    """An image file's bytes, decoded where and when pixels are asked for. Made by ``open_image``, or by code that knows
    the bytes to be a plain JPEG and its ``header``; ``location`` is for messages, ``decoder`` one of ``DECODERS``.

    With every decoder the same files are damaged and the pixels are the same: all of them are libjpeg-turbo for a plain
    JPEG, and OpenCV decodes all that a decoder refuses or warns of (PNG, CMYK, rotation by EXIF, damage).
    """

    def __init__(self, location: object, data: bytes, decoder: str, header: JpegHeader | None) -> None:
        self._location, self._data, self._header = location, data, header
        self._decoder = DECODERS[decoder]
        self._whole: np.ndarray | None = None

    @property
    def encoded_bytes(self) -> int:
        """The size of the file."""
        return len(self._data)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels; of a plain JPEG without decoding. Raises ``ImageError``."""
        return self._decoded().shape[:2] if self._header is None else (self._header.height, self._header.width)

    def pixels(self, region: Region | None = None) -> np.ndarray:
        """uint8 RGB ``[h, w, 3]`` of ``region``: (left, top, right, bottom) in pixels, ends exclusive; all by default.

        Do not write into the result: it may be part of a larger array that other calls return too. Raises
        ``ImageError``.
        """
        height, width = self.shape
        left, top, right, bottom = region or (0, 0, width, height)
        assert 0 <= left < right <= width and 0 <= top < bottom <= height, (region, self.shape)
        if self._whole is None and self._header is not None and self._decoder.decode_region is not None:
            part = self._decoder.decode_region(self._data, self._header, (left, top, right, bottom))
            if part is not None:
                return part
        return self._decoded()[top:bottom, left:right]

    def reduced(self, shrink: int, region: Region) -> np.ndarray:
        """A region of the image at 1 / ``shrink`` of its size (2, 4 or 8), rounded up, for less work: a pixel is about
        the mean of ``shrink x shrink`` ones.

        ``region`` is in pixels of the whole; its left and top must be multiples of ``shrink``. Raises ``ImageError``.
        """
        left, top, right, bottom = region
        assert left % shrink == top % shrink == 0, (region, shrink)
        whole = _mean_of_squares(self._decoded(), shrink) if self._header is None else self._by_opencv(shrink)
        return whole[top // shrink : -(-bottom // shrink), left // shrink : -(-right // shrink)]

    def _decoded(self) -> np.ndarray:
        """The whole image; kept for another region, since not every decoder decodes regions."""
        if self._whole is None:
            if self._header is not None and self._decoder.decode is not None:
                self._whole = self._decoder.decode(self._data, self._header)
            if self._whole is None:
                self._whole = self._by_opencv()
        return self._whole

    def _by_opencv(self, shrink: int = 1) -> np.ndarray:
        """The whole image at 1 / ``shrink``; ``ImageError`` if OpenCV refuses it."""
        flags = _REDUCED.get(shrink, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        try:
            image = cv2.imdecode(np.frombuffer(self._data, np.uint8), flags) if self._data else None
        except cv2.error:  # too large, by its header
            image = None
        header = self._header
        if image is None or header and image.shape[:2] != (-(-header.height // shrink), -(-header.width // shrink)):
            raise ImageError(f"{self._location}: no image, or a damaged one; copy or unpack it again")
        if image.dtype != np.uint8:
            raise _too_deep(self._location, 8 * image.itemsize)
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def open_image(location: Location, decoder: str = "auto") -> EncodedImage:
    """Read the file, and decode nothing yet. For ``decoder`` see ``find_decoder``.

    Raises ``ImageError`` for a file that cannot be read, for one of more than ``MAX_PIXELS`` or 8 bits a value, and for
    a JPEG without its end mark: some versions of OpenCV decode it and leave the rest gray.
    """
    name = find_decoder(decoder)
    try:
        data = location.read_bytes()
    except OSError as error:
        raise ImageError(f"{location}: cannot read the image ({error.strerror or error})") from error
    if data.startswith(START):
        if is_truncated(data):
            raise ImageError(f"{location}: the image is truncated; copy or unpack it again")
        header, bits, pixels = read_header(data)
    else:
        header, (bits, pixels) = None, _describe(data)
    if pixels > MAX_PIXELS:
        raise ImageError(
            f"{location}: its header states more than {MAX_PIXELS} pixels, the most that are read; make it smaller, or "
            "copy it again"
        )
    if bits > 8:
        raise _too_deep(location, bits)
    return EncodedImage(location, data, name, header)


def _describe(data: bytes) -> tuple[int, int | float]:
    """Bits of a value and number of pixels by the header of an image that is no JPEG; 8 and 0 if only decoding shows
    them."""
    if data.startswith(_PNG) and len(data) > 24:
        width, height, bits = struct.unpack_from(">IIB", data, len(_PNG) + 8)
        return bits, height * width
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return 8, image.height * image.width
    except Image.DecompressionBombError:
        return 8, math.inf
    except Exception:  # Pillow has many for damage; OpenCV judges it
        return 8, 0


def _too_deep(location: object, bits: int) -> ImageError:
    return ImageError(
        f"{location}: has {bits} bits a value, and 8 are read; convert all frames of the sequence by one scale, such "
        "as 255 / the largest value in it"
    )


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
        return next(known for known, decoder in DECODERS.items() if decoder.in_auto and decoder.missing() is None)
    if name not in DECODERS:
        raise ValueError(f"decoder {name!r} is unknown; choose auto, {', '.join(DECODERS)}")
    missing = DECODERS[name].missing()
    if missing is not None:
        raise ValueError(f"decoder {name!r}: {missing}, or use the decoder auto")
    return name


def _mean_of_squares(image: np.ndarray, side: int) -> np.ndarray:
    """The means of squares of ``side`` pixels; the last row and column are repeated to whole squares."""
    height, width = image.shape[:2]
    image = cv2.copyMakeBorder(image, 0, -height % side, 0, -width % side, cv2.BORDER_REPLICATE)
    return cv2.resize(image, (image.shape[1] // side, image.shape[0] // side), interpolation=cv2.INTER_AREA)


def _decode_simplejpeg(data: bytes, header: JpegHeader) -> np.ndarray | None:
    import simplejpeg  # here: it need not be installed

    try:
        pixels = simplejpeg.decode_jpeg(data)
    except ValueError:
        return None
    return pixels if pixels.shape == (header.height, header.width, 3) else None


def _decode_jpeg4py(data: bytes, header: JpegHeader) -> np.ndarray | None:
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


def _missing_turbojpeg() -> str | None:
    if libturbojpeg.load_library() is not None:
        return None
    return "there is no libturbojpeg of version 3; pip install turbojpeg"


def _missing_simplejpeg() -> str | None:
    return None if find_spec("simplejpeg") is not None else "simplejpeg is not installed; pip install simplejpeg"


def _missing_jpeg4py() -> str | None:
    if find_spec("jpeg4py") is None:
        return "jpeg4py is not installed; pip install jpeg4py"
    import jpeg4py  # here: it need not be installed

    try:
        jpeg4py.initialize()
    except OSError:
        return "jpeg4py finds no libturbojpeg; apt install libturbojpeg0 (Ubuntu: libturbojpeg)"
    return None


class _Decoder(NamedTuple):
    """``missing`` returns the remedy for a missing library, or None. The others take a plain JPEG's bytes, its header
    and, for ``decode_region``, a region; they return None to leave the image to OpenCV."""

    missing: Callable[[], str | None]
    in_auto: bool
    decode: Callable[[bytes, JpegHeader], np.ndarray | None] | None = None
    decode_region: Callable[[bytes, JpegHeader, Region], np.ndarray | None] | None = None


# Fastest first, for "auto". jpeg4py is there for users who have it: it does the same as simplejpeg.
DECODERS = {
    "turbojpeg": _Decoder(_missing_turbojpeg, True, decode_region=libturbojpeg.decode),
    "simplejpeg": _Decoder(_missing_simplejpeg, True, decode=_decode_simplejpeg),
    "jpeg4py": _Decoder(_missing_jpeg4py, False, decode=_decode_jpeg4py),
    "opencv": _Decoder(lambda: None, True),
}
