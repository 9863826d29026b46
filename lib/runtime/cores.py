"""How many cores a process may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """The share of the machine's cores that launchers give a process by OMP_NUM_THREADS, else all it may run on."""
    share = os.environ.get("OMP_NUM_THREADS", "")
    if share.isdecimal() and int(share) > 0:
        return int(share)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
