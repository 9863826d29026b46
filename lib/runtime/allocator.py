"""How the C library's allocator treats memory as large as a picture."""

from __future__ import annotations

import ctypes

# malloc.h of glibc, and mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_BUFFER = 32 * 2**20  # bytes; glibc takes no more. A picture of 1920 x 1080 has 6 MB.
_KEPT = 256 * 2**20  # bytes free at the heap's end; several pictures, so that a worker never gives back what it needs


def keep_large_buffers() -> bool:
    """Makes this process keep buffers of up to 32 MB (256 MB in all) for the next picture; True if that could be done.

    By default glibc maps each large buffer anew and gives it back when it is freed, and the kernel clears each page of
    it at the first touch: for a picture of 1280 x 720 that takes as long as decoding it. Other C libraries are left as
    they are. The price is that a process holds on to the largest amount that it ever had, up to the limits.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return bool(library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_BUFFER) and library.mallopt(_M_TRIM_THRESHOLD, _KEPT))
