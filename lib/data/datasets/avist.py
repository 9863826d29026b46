"""AVisT: 120 sequences in bad visibility, with flags for full occlusion and for leaving the view."""

from collections.abc import Iterator
from functools import partial

from lib.data.datasets.annotations import has_area, numbered_frames, package_names, read_flags, read_numbers
from lib.data.datasets.record import Benchmark, Dataset, Entry
from lib.data.files.source import Source
from lib.data.types import Sequence


def list_avist(source: Source, split: str) -> Iterator[Entry]:
    """The 120 sequences in the list's order.

    Images are ``sequences/<name>/img_%05d.jpg``, as many as ``anno/<name>.txt`` has rows. A frame is absent if
    ``full_occlusion/<name>_full_occlusion.txt`` or ``out_of_view/<name>_out_of_view.txt`` marks it. Raises
    ``ValueError`` naming the file.
    """
    for name in package_names("avist.txt"):
        yield Entry(name, partial(_read_sequence, source, name))


def _read_sequence(source: Source, name: str) -> Sequence:
    boxes = read_numbers(source, f"anno/{name}.txt", None, 4)
    absent = read_flags(source, f"full_occlusion/{name}_full_occlusion.txt", len(boxes))
    absent |= read_flags(source, f"out_of_view/{name}_out_of_view.txt", len(boxes))
    frames = numbered_frames(source, f"sequences/{name}", "img_%05d.jpg", 1, len(boxes))
    return Sequence(name, "avist", frames, boxes, has_area(boxes) & ~absent, absent=absent)


DATASET = Dataset(
    "avist",
    list_avist,
    splits=("test",),
    names={"test": partial(package_names, "avist.txt")},
    # Five groups, and their scenarios. Camouflage is a group and a scenario with the same sequences.
    attributes={"test": ("avist.json", "avist_scenarios.json")},
    benchmarks={"avist": Benchmark("test", "grm")},
)
