"""Progress of a run in frames: a bar on a terminal, a line a minute elsewhere."""

import logging
import os
import sys
from time import monotonic
from typing import Self

from tqdm import tqdm

LINE_SECONDS = 60.0
_LINE = "{n} of {total} frames ({percentage:.0f}%){postfix}, {rate_noinv_fmt}, {remaining} left"

logger = logging.getLogger(__name__)


class RunProgress:
    """Shows ``frames`` frames of ``sequences`` sequences, ``kept`` of them finished before. The speed counts from the
    first frame on, without the time to build networks. With 0 frames it shows nothing."""

    def __init__(self, frames: int, sequences: int, kept: int) -> None:
        self._sequences, self._finished, self._settled = sequences, kept, 0
        self._logged = monotonic()
        # Without a terminal the bar computes speed and time left, and only its line is logged.
        self._nowhere = open(os.devnull, "w") if frames and not sys.stderr.isatty() else None  # noqa: SIM115
        self._bar = tqdm(
            total=frames,
            unit=" frames",
            smoothing=0.02,
            dynamic_ncols=True,
            file=self._nowhere,
            bar_format=_LINE if self._nowhere else None,
            disable=not frames,
        )
        self._bar.set_postfix_str(f"{kept}/{sequences} sequences")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.close()
        if self._nowhere:
            self._nowhere.close()

    def settle(self, frames: int) -> None:
        """Count a sequence of so many frames as done, for the next ``show``."""
        self._settled += frames
        self._finished += 1

    def show(self, frames: int) -> None:
        """Show the progress, with so many frames done of sequences that are under way."""
        advance = self._settled + frames - self._bar.n
        if self._bar.disable or not advance:
            return
        if self._bar.n == 0:
            self._bar.unpause()
        self._bar.set_postfix_str(f"{self._finished}/{self._sequences} sequences", refresh=False)
        self._bar.update(advance)
        if self._nowhere and monotonic() - self._logged > LINE_SECONDS:
            self._logged = monotonic()
            logger.info(str(self._bar))
