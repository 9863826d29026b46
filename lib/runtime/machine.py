"""The cores and the memory that this process may use."""

import ctypes
import os

# malloc.h of glibc, and mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_BUFFER = 32 * 2**20  # bytes, glibc's maximum; an image of 1920 x 1080 has 6 MB
_KEPT = 256 * 2**20  # free bytes at the heap's end: several images


def keep_large_buffers() -> None:
    """Makes this process keep buffers of up to 32 MB (256 MB in all) for the next image.

    By default glibc maps each large buffer anew and unmaps it when it is freed, and the kernel clears each page at the
    first access: for an image of 1280 x 720 this takes as long as decoding. The price: a process keeps the largest
    amount that it ever used, up to these limits. Other C libraries are left unchanged.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_BUFFER)
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT)


def usable_cores() -> int:
    """The cores that a launcher gives this process by OMP_NUM_THREADS, else all that it may run on."""
    share = os.environ.get("OMP_NUM_THREADS", "")
    if share.isdecimal() and int(share) > 0:
        return int(share)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
