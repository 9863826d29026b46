"""Names of sequences, after which the files of their results are named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

# Endings of the files that this project, pytracking and OSTrack write beside a sequence's boxes.
SIDE_FILES = (
    "_time", "_network_time", "_scores", "_all_boxes", "_all_scores", "_object_presence_scores", "_confidence",
)  # fmt: skip
# Those of them with a score for each frame: ours, pytracking's and VOT's.
SCORE_FILES = ("_scores", "_object_presence_scores", "_confidence")


def find_meeting(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of names with a file in common: ``car`` and ``car_time``, whose boxes are a file of times of the first; and
    a name with itself that is there twice."""
    counts = Counter(names)
    for name, count in counts.items():
        if count > 1:
            yield name, name
        for suffix in SIDE_FILES:
            if name.endswith(suffix) and name.removesuffix(suffix) in counts:
                yield name.removesuffix(suffix), name
