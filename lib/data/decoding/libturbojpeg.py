"""libjpeg-turbo 3 by its C interface (turbojpeg.h): the one decoder that reads a region of a JPEG without the rest."""

import ctypes
import functools
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from lib.data.decoding.jpeg import JpegHeader
from lib.geometry.aligned import Region

# turbojpeg.h of version 3: TJINIT_DECOMPRESS, TJPARAM_JPEGWIDTH, TJPARAM_JPEGHEIGHT, TJPF_RGB.
_DECOMPRESS, _WIDTH, _HEIGHT, _RGB = 1, 5, 6, 0


class _Region(ctypes.Structure):
    """``tjregion``; all zeros is the whole image."""

    _fields_ = [(name, ctypes.c_int) for name in ("x", "y", "w", "h")]


_SIGNATURES = {
    "tj3Init": (ctypes.c_void_p, [ctypes.c_int]),
    "tj3Destroy": (None, [ctypes.c_void_p]),
    "tj3DecompressHeader": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]),
    "tj3Get": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int]),
    "tj3SetCroppingRegion": (ctypes.c_int, [ctypes.c_void_p, _Region]),
    "tj3Decompress8": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int, ctypes.c_int],
    ),
}


@functools.cache
def load_library() -> ctypes.CDLL | None:
    """The library inside the Python package ``turbojpeg``, or the system's; None if there is none of version 3.

    The package's own functions decode whole images only.
    """
    package = find_spec("turbojpeg")
    folder = Path(package.origin).parent / "turbojpeg.libs" if package and package.origin else None
    bundled = sorted(str(path) for path in folder.glob("libturbojpeg*.so*")) if folder else []
    for name in (*bundled, find_library("turbojpeg")):
        try:
            library = ctypes.CDLL(name) if name else None
        except OSError:
            continue  # of another system, or damaged
        if library is not None and hasattr(library, "tj3SetCroppingRegion"):
            for function, (result, arguments) in _SIGNATURES.items():
                getattr(library, function).restype = result
                getattr(library, function).argtypes = arguments
            return library
    return None


def decode(data: bytes, header: JpegHeader, region: Region | None = None) -> np.ndarray | None:
    """Pixels uint8 RGB ``[h, w, 3]`` of a plain JPEG, or None if the library refuses it or warns of damage.

    ``region`` is (left, top, right, bottom) in pixels, None the whole. The pixels are equal to those of the image
    decoded whole. The library may not read below the region, so damage there may stay unnoticed.
    """
    library = load_library()
    # A used handle would lend the tables of the last image to one that lacks them; a new one takes 1 us.
    handle = library.tj3Init(_DECOMPRESS)
    if not handle:
        raise MemoryError("libturbojpeg: no memory for a decompressor")
    try:
        return _decode(library, handle, data, header, region)
    finally:
        library.tj3Destroy(handle)


def _decode(
    library: ctypes.CDLL, handle: int, data: bytes, header: JpegHeader, region: Region | None
) -> np.ndarray | None:
    whole = 0, 0, header.width, header.height
    left, top, right, bottom = region or whole
    # Smooth upsampling of the colors is wrong at the sides of the decoded part: so one unit more on each side.
    unit = header.unit
    begin, end = max(0, left // unit * unit - unit), min(header.width, -(-right // unit) * unit + unit)
    cropped = (begin, top, end, bottom) != whole
    box = _Region(begin, top, end - begin, bottom - top) if cropped else _Region()
    if (
        library.tj3DecompressHeader(handle, data, len(data))
        # With another size the library would write beyond the array.
        or library.tj3Get(handle, _WIDTH) != header.width
        or library.tj3Get(handle, _HEIGHT) != header.height
        or library.tj3SetCroppingRegion(handle, box)
    ):
        return None
    pixels = np.empty((bottom - top, end - begin, 3), dtype=np.uint8)
    if library.tj3Decompress8(handle, data, len(data), pixels.ctypes.data, pixels.strides[0], _RGB):
        return None
    return pixels[:, left - begin : right - begin]
