"""Starting a program once a device through torchrun, and saying afterwards how it ended."""

from __future__ import annotations

import logging
import os
import signal

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args, run

from lib.runtime.stop import STOPPING

logger = logging.getLogger(__name__)
# Seconds that torchrun leaves the processes to save a checkpoint after a signal; its own 30 are short for 4 GB.
SHUTDOWN_SECONDS = "120"


def launch(processes: int, command: list[str]) -> int:
    """Runs ``command`` (a Python file and its arguments) in ``processes`` processes on this machine; the exit code.

    This is torchrun in the calling process: Ctrl-C and SIGTERM are passed on to the processes and waited for, and give
    130 and 143, where torchrun's own program prints a traceback and gives 1. A second Ctrl-C ends them at once. A
    process that fails takes the others with it, and its code is returned (1 if a signal killed it).
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // processes)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", SHUTDOWN_SECONDS)
    # Its lines about children that end repeat, less clearly, what the children themselves have said.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    earlier = {number: signal.getsignal(number) for number in STOPPING}
    try:
        run(parse_args(["--standalone", f"--nproc-per-node={processes}", *command]))
    except SignalException as stop:
        return 128 + int(stop.sigval)
    except KeyboardInterrupt:
        return 128 + int(signal.SIGINT)
    except ChildFailedError as failed:
        rank, failure = failed.get_first_failure()
        if failure.exitcode < 0:
            logger.error("process %d was killed by %s", rank, signal.Signals(-failure.exitcode).name)
        return failure.exitcode if failure.exitcode > 0 else 1
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
    return 0
