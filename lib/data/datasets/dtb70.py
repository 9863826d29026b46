"""DTB70: 70 drone videos, a folder a sequence."""

from collections.abc import Iterator

from lib.data.datasets.annotations import Listed
from lib.data.datasets.record import Benchmark, Dataset
from lib.data.files.source import Source

_BOXES = "groundtruth_rect.txt"


def list_dtb70(source: Source, split: str) -> Iterator[Listed]:
    """The folders with ``img/`` or ``groundtruth_rect.txt``, by name; each needs both, with a row for each image."""
    for name in source.names():
        if source.exists(f"{name}/{_BOXES}") or source.is_folder(f"{name}/img"):
            yield Listed(name, f"{name}/img", f"{name}/{_BOXES}")


DATASET = Dataset("dtb70", list_dtb70, splits=("test",), expected={"test": 70}, benchmarks={"dtb70": Benchmark("test")})
