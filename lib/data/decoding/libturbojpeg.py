"""libjpeg-turbo 3 by its C interface (turbojpeg.h): the one decoder that reads a region of a JPEG without the rest."""

import ctypes
import functools
from contextlib import suppress
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from lib.data.decoding.jpeg import JpegHeader
from lib.geometry.aligned import Region

# turbojpeg.h of version 3: TJINIT_DECOMPRESS, TJPARAM_JPEGWIDTH, TJPARAM_JPEGHEIGHT, TJPF_RGB.
_DECOMPRESS, _WIDTH, _HEIGHT, _RGB = 1, 5, 6, 0


class _Region(ctypes.Structure):
    """``tjregion``."""

    _fields_ = [(name, ctypes.c_int) for name in ("x", "y", "w", "h")]


@functools.cache
def load_library() -> ctypes.CDLL | None:
    """The library inside the Python package ``turbojpeg``, or the system's; None if there is none of version 3.

    The package's own functions decode whole images only.
    """
    names = [find_library("turbojpeg")]
    package = find_spec("turbojpeg")
    if package and package.origin:
        bundled = Path(package.origin).parent.glob("turbojpeg.libs/libturbojpeg*.so*")
        names = [*sorted(map(str, bundled)), *names]
    for name in filter(None, names):
        with suppress(OSError):  # of another system, or damaged
            library = ctypes.CDLL(name)
            if hasattr(library, "tj3SetCroppingRegion"):
                library.tj3Init.restype = ctypes.c_void_p
                return library
    return None


def decode(data: bytes, header: JpegHeader, region: Region) -> np.ndarray | None:
    """Pixels uint8 RGB ``[h, w, 3]`` of a plain JPEG, or None if the library refuses it or warns of damage.

    ``region`` is (left, top, right, bottom) in pixels. The pixels are equal to those of the image decoded whole. The
    library may not read below the region, so damage there may stay unnoticed.
    """
    library = load_library()
    left, top, right, bottom = region
    # Smooth upsampling of the colors is wrong at the sides of the decoded part: so one unit more on each side.
    unit = header.unit
    begin, end = max(0, left // unit * unit - unit), min(header.width, -(-right // unit) * unit + unit)
    pixels = np.empty((bottom - top, end - begin, 3), dtype=np.uint8)
    target = pixels.ctypes.data_as(ctypes.c_void_p)
    # A used handle would lend the tables of the last image to one that lacks them; a new one takes 1 us.
    handle, size = ctypes.c_void_p(library.tj3Init(_DECOMPRESS)), ctypes.c_size_t(len(data))
    try:
        failed = (
            library.tj3DecompressHeader(handle, data, size)
            # With another size the library would write beyond the array.
            or library.tj3Get(handle, _WIDTH) != header.width
            or library.tj3Get(handle, _HEIGHT) != header.height
            or library.tj3SetCroppingRegion(handle, _Region(begin, top, end - begin, bottom - top))
            or library.tj3Decompress8(handle, data, size, target, pixels.strides[0], _RGB)
        )
    finally:
        library.tj3Destroy(handle)
    return None if failed else pixels[:, left - begin : right - begin]
