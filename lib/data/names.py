"""Names of sequences, and the files of their results."""

from collections import Counter
from collections.abc import Iterable, Iterator

# Endings of the files beside the boxes of a sequence, in this project, pytracking and OSTrack.
SIDE_FILES = (
    "_time", "_network_time", "_scores", "_all_boxes", "_all_scores", "_object_presence_scores", "_confidence",
)  # fmt: skip
# Endings of files with a score for each frame: ours, pytracking's and VOT's.
SCORE_FILES = ("_scores", "_object_presence_scores", "_confidence")


def clashing_names(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of names whose results share a file: ``car`` and ``car_time``, whose boxes would be the times of ``car``,
    and a name that occurs twice."""
    counts = Counter(names)
    for name, count in counts.items():
        if count > 1:
            yield name, name
        for suffix in SIDE_FILES:
            if name.endswith(suffix) and name.removesuffix(suffix) in counts:
                yield name.removesuffix(suffix), name
