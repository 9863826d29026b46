"""The number of cores that a process may use."""

import os


def usable_cores() -> int:
    """The cores that a launcher gives this process by OMP_NUM_THREADS, else all that it may run on."""
    share = os.environ.get("OMP_NUM_THREADS", "")
    if share.isdecimal() and int(share) > 0:
        return int(share)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
