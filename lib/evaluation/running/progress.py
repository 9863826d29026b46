"""Progress of a run in frames: a bar on a terminal, a line a minute elsewhere."""

import logging
import math
import sys
from time import monotonic

from tqdm import tqdm

LINE_SECONDS = 60.0
_LINE = "{n} of {total} frames ({percentage:.0f}%){postfix}, {rate_noinv_fmt}, {remaining} left"

logger = logging.getLogger(__name__)


class RunProgress:
    """Shows ``frames`` frames of ``sequences`` sequences, ``kept`` of them finished before. The speed counts from the
    first frame on, without the time to build networks. With 0 frames it shows nothing."""

    def __init__(self, frames: int, sequences: int, kept: int) -> None:
        self._settled = 0
        self._sequences, self._kept, self._frames = sequences, kept, 0
        self._terminal, self._logged = sys.stderr.isatty(), monotonic()
        self._bar = tqdm(
            total=frames,
            unit=" frames",
            smoothing=0.02,
            dynamic_ncols=True,
            postfix=f"{kept}/{sequences} sequences",
            delay=0 if self._terminal else math.inf,  # without a terminal only the logged lines are seen
            bar_format=None if self._terminal else _LINE,
            disable=not frames,
        )

    def close(self) -> None:
        """End the bar's line."""
        self._bar.close()

    def settle(self, frames: int) -> None:
        """Count a sequence of so many frames as done, for the next ``show``."""
        self._frames += frames
        self._settled += 1

    def show(self, frames: int) -> None:
        """Show the progress, with so many frames done of sequences that are under way."""
        advance = self._frames + frames - self._bar.n
        if self._bar.disable or not advance:
            return
        if self._bar.n == 0:
            self._bar.unpause()
        self._bar.set_postfix_str(f"{self._kept + self._settled}/{self._sequences} sequences", refresh=False)
        self._bar.update(advance)
        if not self._terminal and monotonic() - self._logged > LINE_SECONDS:
            self._logged = monotonic()
            logger.info(str(self._bar))
