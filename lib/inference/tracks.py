"""A tracked sequence, or the reason why it could not be tracked."""

import traceback
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True, eq=False)
class Track:
    """A tracked sequence of N frames, the first included.

    ``boxes`` float64 ``[N, 4]`` xywh in pixels, the first as given; ``scores`` ``[N]``, the first 1. ``seconds``
    ``[N]`` are a frame's share of the time that passed, end to end (reading, cropping, network, box), with the first
    for taking the template; ``network_seconds`` ``[N]`` its share of the network's time. Where B sequences are tracked
    in one batch, the share is the batch's time divided by B.
    """

    boxes: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray
    network_seconds: np.ndarray


class Failure(NamedTuple):
    """Why a sequence or a process gave no result: a ``reason`` in one line, and the ``traceback`` for the log.

    ``explained``: the line is enough, since the data or the settings are wrong, or nothing more is known.
    """

    reason: str
    traceback: str
    explained: bool = False


def failure_of(error: BaseException) -> Failure:
    """The failure of an exception; a ``ValueError`` explains itself."""
    line = " ".join(str(error).split()) or "no message"
    explained = isinstance(error, ValueError)
    reason = line if explained else f"{type(error).__name__}: {line}"
    return Failure(reason, "".join(traceback.format_exception(error)).rstrip(), explained)
