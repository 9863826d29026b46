"""One sequence tracked, or the reason why it could not be."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch

from lib.data.images import read_image
from lib.data.types import Sequence
from lib.evaluation.baselines import FrameTracker
from lib.evaluation.results import Track


class Failure(NamedTuple):
    """Why a sequence, or a process, gave no result: one line, and the whole traceback for the log.

    ``explained`` says that the line is enough: the data or the settings are wrong, not the program, or nothing more is
    known.
    """

    reason: str
    traceback: str
    explained: bool = False


def attempt(tracker: FrameTracker, sequence: Sequence, begin: Callable[[int], None]) -> Track | Failure:
    """What ``track_sequence`` gives or raises; Ctrl-C alone passes through."""
    try:
        return track_sequence(tracker, sequence, begin)
    except (Exception, SystemExit) as error:
        return failure_of(error)


def track_sequence(
    tracker: FrameTracker, sequence: Sequence, begin: Callable[[int], None] = lambda frame: None
) -> Track:
    """Follow the target of a sequence from its first box on; raises what the tracker or an unreadable image raises.

    ``begin`` is called with the number of each frame, from 0, before anything is done with it.
    """
    if not sequence.frames:
        raise ValueError(f"sequence {sequence.name} has no frames")
    rows = []
    for number, path in enumerate(sequence.frames):
        begin(number)
        started = perf_counter()
        image = read_image(path)
        if number == 0:
            tracker.init(image, sequence.boxes[0])
            box, score = np.array(sequence.boxes[0], dtype=np.float64), 1.0
        else:
            box, score = tracker.update(image)
        rows.append((*box, score, perf_counter() - started, tracker.network_seconds))
    table = np.array(rows, dtype=np.float64)
    return Track(boxes=table[:, :4], scores=table[:, 4], seconds=table[:, 5], network_seconds=table[:, 6])


def failure_of(error: BaseException) -> Failure:
    """What there is to say of an exception; a ``ValueError`` says all in its message."""
    line = " ".join(str(error).split()) or "no message"
    explained = isinstance(error, ValueError)
    reason = line if explained else f"{type(error).__name__}: {line}"
    return Failure(reason, "".join(traceback.format_exception(error)).rstrip(), explained)


def is_sound() -> bool:
    """Whether this process can go on after a failure; False where an error left its GPU in a state that only another
    process can leave (a kernel's assertion or illegal access; a lack of memory is none). Frees what is not in use."""
    if not torch.cuda.is_initialized():
        return True
    try:
        torch.cuda.empty_cache()
        torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True
