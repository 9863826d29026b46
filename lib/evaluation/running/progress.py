"""Progress of a run in frames: a bar on a terminal, a line a minute elsewhere."""

import logging
import sys
from time import monotonic
from typing import Self

from tqdm import tqdm

LINE_SECONDS = 60.0

logger = logging.getLogger(__name__)


class RunProgress:
    """Shows ``frames`` frames of ``sequences`` sequences, ``kept`` of them finished before. The speed counts from the
    first frame on, without the time to build networks. With 0 frames it shows nothing."""

    def __init__(self, frames: int, sequences: int, kept: int) -> None:
        self._frames, self._sequences = frames, sequences
        self._settled, self._finished, self._done = 0, kept, 0
        self._began: float | None = None
        self._logged = monotonic()
        self._terminal = sys.stderr.isatty()
        hidden = not (self._terminal and frames)
        self._bar = tqdm(total=frames, unit="frame", smoothing=0.02, dynamic_ncols=True, disable=hidden)
        self._bar.set_postfix_str(f"{kept}/{sequences} sequences")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.close()

    def settle(self, frames: int) -> None:
        """Count a sequence of so many frames as done, for the next ``show``."""
        self._settled += frames
        self._finished += 1

    def show(self, frames: int) -> None:
        """Show the progress, with so many frames done of sequences that are under way."""
        done = self._settled + frames
        if not self._frames or done == self._done:
            return
        if self._began is None:
            self._began = monotonic()
            self._bar.unpause()
        self._bar.set_postfix_str(f"{self._finished}/{self._sequences} sequences", refresh=False)
        self._bar.update(done - self._done)
        self._done = done
        if not self._terminal and monotonic() - self._logged > LINE_SECONDS:
            self._logged = monotonic()
            logger.info(self._line())

    def _line(self) -> str:
        rate = self._done / max(monotonic() - self._began, 1e-9)
        left = tqdm.format_interval((self._frames - self._done) / rate) if rate else "?"
        return (
            f"{self._done} of {self._frames} frames ({self._done / self._frames:.0%}), "
            f"{self._finished} of {self._sequences} sequences, {rate:.1f} frames/s, {left} left"
        )
