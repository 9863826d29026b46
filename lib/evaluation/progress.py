"""How far a run is, in frames: a bar on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import logging
import sys
from time import monotonic
from typing import Self

from tqdm import tqdm

LINE_SECONDS = 60.0

logger = logging.getLogger(__name__)


class RunProgress:
    """Follows ``frames`` frames of ``sequences`` sequences, of which ``kept`` were finished before; the speed counts
    from the first frame on, so that the building of trackers does not enter it."""

    def __init__(self, frames: int, sequences: int, kept: int) -> None:
        self._frames, self._sequences = frames, sequences
        self._done, self._finished = 0, kept
        self._began: float | None = None
        self._said = monotonic()
        self._terminal = sys.stderr.isatty()
        hidden = not (self._terminal and frames)
        self._bar = tqdm(total=frames, unit="frame", smoothing=0.02, dynamic_ncols=True, disable=hidden)
        self._bar.set_postfix_str(f"{kept}/{sequences} sequences")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.close()

    def show(self, frames: int, sequences: int) -> None:
        """So many frames and sequences are done, those in the hands of other commands and those kept included."""
        if frames == self._done and sequences == self._finished:
            return
        if self._began is None:
            self._began = monotonic()
            self._bar.unpause()
        if sequences != self._finished:
            self._bar.set_postfix_str(f"{sequences}/{self._sequences} sequences", refresh=False)
        self._bar.update(frames - self._done)
        self._done, self._finished = frames, sequences
        if not self._terminal and monotonic() - self._said > LINE_SECONDS:
            self._said = monotonic()
            logger.info(self._line())

    def _line(self) -> str:
        rate = self._done / max(monotonic() - self._began, 1e-9)
        left = tqdm.format_interval((self._frames - self._done) / rate) if rate else "?"
        return (
            f"{self._done} of {self._frames} frames ({self._done / max(self._frames, 1):.0%}), "
            f"{self._finished} of {self._sequences} sequences, {rate:.1f} frames/s, {left} left"
        )
