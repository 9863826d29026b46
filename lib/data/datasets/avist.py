"""AVisT: 120 sequences in bad visibility, with flags for full occlusion and for leaving the view."""

from collections.abc import Iterator
from functools import partial

from lib.data.datasets.annotations import Listed, package_names
from lib.data.datasets.record import Benchmark, Dataset
from lib.data.files.source import Source


def list_avist(source: Source, split: str) -> Iterator[Listed]:
    """The 120 sequences in the list's order.

    Images are ``sequences/<name>/img_%05d.jpg``, as many as ``anno/<name>.txt`` has rows. A frame is absent if
    ``full_occlusion/<name>_full_occlusion.txt`` or ``out_of_view/<name>_out_of_view.txt`` marks it.
    """
    for name in package_names("avist.txt"):
        flags = tuple(f"{kind}/{name}_{kind}.txt" for kind in ("full_occlusion", "out_of_view"))
        yield Listed(name, f"sequences/{name}", f"anno/{name}.txt", "img_%05d.jpg", flags=flags)


DATASET = Dataset(
    "avist",
    list_avist,
    splits=("test",),
    names={"test": partial(package_names, "avist.txt")},
    # Five groups, and their scenarios. Camouflage is a group and a scenario with the same sequences.
    attributes={"test": ("avist.json", "avist_scenarios.json")},
    benchmarks={"avist": Benchmark("test", "grm")},
)
