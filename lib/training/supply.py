"""The groups of samples that a process trains on, and what the processes agree on before each."""

from __future__ import annotations

from collections.abc import Iterable

from lib.data.batch import Batch
from lib.data.loader import build_loader
from lib.data.pairs import Pairs
from lib.runtime.process import LostProcessError, Process
from lib.runtime.stop import StopRequested, StopSignals

_FAILED = 255  # above every signal's number


class Supply:
    """Batches of numbered samples, on the device. Every process must take as often as the others."""

    def __init__(
        self, pairs: Pairs, groups: Iterable[range], workers: int, process: Process, signals: StopSignals
    ) -> None:
        self._process, self._signals = process, signals
        self._batches = iter(build_loader(pairs, groups, workers, pin_memory=process.device.type == "cuda"))

    def take(self) -> Batch | None:
        """The next group, or None after this process's last.

        If any process is asked to stop, all raise StopRequested. If one cannot read its samples, it raises the reason
        and the others LostProcessError, where they would wait for its gradients in vain.
        """
        batch, fault = None, None
        try:
            batch = next(self._batches, None)
        except ValueError as error:
            fault = error
        agreed = self._process.agree(_FAILED if fault else self._signals.received)
        if fault is not None:
            raise fault
        if agreed == _FAILED:
            raise LostProcessError
        if agreed:
            raise StopRequested(agreed)
        return None if batch is None else batch.to(self._process.device)
