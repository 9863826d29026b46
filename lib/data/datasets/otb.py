"""OTB100: a folder a sequence, by pytracking's and OSTrack's table of frames and names (``Jogging_1``)."""

from functools import partial

from lib.data.datasets.annotations import Listed, package_names, package_table
from lib.data.datasets.record import Benchmark, Dataset, Spelling
from lib.data.files.source import Source


def list_otb(source: Source, split: str) -> list[Listed]:
    """The 100 sequences in the table's order.

    Several start late (David at frame 300) or end before their folder does (Football1 at 74). Jogging and Skating2 are
    two sequences each, Human4 has its second target, and Tiger1 begins after its first five frames and rows.
    """
    return package_table("otb100.json")


DATASET = Dataset(
    "otb",
    list_otb,
    splits=("otb100",),
    names={"otb100": partial(package_names, "otb100.json")},
    attributes={"otb100": ("otb100.json",)},
    benchmarks={"otb": Benchmark("otb100")},
    # Only GRM has otb_. Jogging_1 is Jogging.1 in the got10k toolkit, which has one target of Human4, and Jogging-1 in
    # pysot.
    spelling=Spelling("otb_", separators=True, aliases=(("Human4", "Human4_2"),)),
    folders=("otb100", "otb2015", "otbtb100"),
    partial_folders=True,
)
