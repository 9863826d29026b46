"""Whether a process can go on computing after an error."""

from __future__ import annotations

import sys


def is_sound() -> bool:
    """False where an error left this process's GPU in a state that only another process can leave (a kernel's assertion
    or illegal access; a lack of memory is none). Frees what is not in use. Without torch there is no such state."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return True
    try:
        torch.cuda.empty_cache()
        torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True
