"""The processes that train together: rank and device of this one, and the exchange of values between them."""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from lib.runtime.ranks import ranks

_FINISHED: deque[dist.Work] = deque(maxlen=8)


class LostProcessError(ValueError):
    """Another process of the run has failed and reports the reason itself."""

    def __init__(self) -> None:
        super().__init__("another process of this run has failed; its own message has the reason")


@dataclass(frozen=True)
class Process:
    """One of ``world`` processes that compute together; rank 0 writes files and shows progress.

    ``agree`` and ``gather`` are collective: every process must call them the same number of times in the same order.
    They run on the CPU, so the host does not wait for the GPU. They raise LostProcessError when another process has
    ended meanwhile.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def agree(self, value: int) -> int:
        """The largest ``value`` that any process gives."""
        if self.world == 1:
            return value
        largest = torch.tensor(value)
        with lost_processes():
            work = dist.all_reduce(largest, dist.ReduceOp.MAX, async_op=True)
            work.wait()
        # Otherwise gloo's thread may hold the last reference to its tensors. If it drops them while the interpreter
        # ends, the process aborts: an exit code of 134 now and then.
        _FINISHED.append(work)
        return int(largest)

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes in the order of ranks; all wait for each other here."""
        if self.world == 1:
            return [value]
        values = [None] * self.world
        with lost_processes():
            dist.all_gather_object(values, value)
        return values


@contextmanager
def joined(device: str = "auto") -> Iterator[Process]:
    """In the block this is one of the processes that torchrun's variables in the environment announce; without them it
    is the only one.

    ``device`` is a torch device, or ``auto``: the GPU if there is one. Under torchrun ``cuda`` is the GPU of the local
    rank. Raises ValueError when that GPU is not there.
    """
    rank, local_rank, world = ranks()
    place = find_device(device, local_rank)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if world > 1:
        dist.init_process_group("cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo")
    try:
        yield Process(rank, world, place)
    finally:
        if world > 1:
            dist.destroy_process_group()


@contextmanager
def lost_processes() -> Iterator[None]:
    """An error of the connection, by one of torch's collectives in the block, becomes LostProcessError."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise LostProcessError from error
        raise


def find_device(device: str, local_rank: int = 0) -> torch.device:
    """The device of that name; ``auto`` is the GPU if there is one, and ``cuda`` the GPU of number ``local_rank``.

    Raises ValueError for another name and for a GPU that is not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(device)
    except RuntimeError:
        place = None
    if place is None or place.type not in ("cpu", "cuda"):
        raise ValueError(f"device {device!r} is unknown to torch or not used here; use auto, cpu, cuda or cuda:N")
    if place.type == "cpu":
        return place
    place = torch.device("cuda", local_rank if place.index is None else place.index)
    if place.index >= torch.cuda.device_count():
        raise ValueError(
            f"device {device!r} would be GPU number {place.index}, but {torch.cuda.device_count()} are visible here; "
            "use cpu, or no more processes than GPUs"
        )
    return place


def device_in_turn(device: str) -> str:
    """The device of that name for one of several independent processes: those of a machine take its GPUs in turn.

    Raises ValueError as ``find_device`` does.
    """
    number = int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or 0)
    return str(find_device(device, number % max(1, torch.cuda.device_count())))


def describe_device(device: str) -> tuple[str, dict[str, str | None]]:
    """The name of a GPU (empty for the CPU), and the versions of torch and its GPU libraries."""
    versions: dict[str, str | None] = {"torch": torch.__version__}
    if not device.startswith("cuda"):
        return "", versions
    cudnn = str(torch.backends.cudnn.version())
    return torch.cuda.get_device_name(device), versions | {"cuda": torch.version.cuda, "cudnn": cudnn}
