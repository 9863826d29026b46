"""Workers share an index: what they take does not depend on its size, and does not grow while they work."""

import gc
import multiprocessing
import re
import sys
from collections import abc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from listed_sequences import ListedSequences
from simulated_trackingnet import write_simulated_trackingnet

from lib.data.augment import JitterConfig
from lib.data.batch import Batch
from lib.data.loader import load_batches
from lib.data.pairs import DataConfig, Pairs, SourceConfig
from lib.data.pools import Pool
from lib.data.stores.index import SequenceIndex, open_dataset
from lib.data.types import Sequence
from lib.geometry.crop import CropConfig

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:This DataLoader will create 8 worker processes"),
    pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux to say what a process owns"),
]

MEGABYTE = 2**20


def simulated(root: Path, videos: int) -> list[SequenceIndex]:
    """The index of a TrackingNet with videos of 480 frames."""
    write_simulated_trackingnet(root / "trackingnet", videos)
    return [open_dataset("trackingnet", "train", root / "trackingnet", root / "cache")]


def size(indices: list[SequenceIndex]) -> int:
    """Bytes that indices hold."""
    return sum(array.nbytes for index in indices for array in index._columns.arrays.values())


def pairs_of(datasets: list[abc.Sequence[Sequence]]) -> Pairs:
    config = DataConfig(
        train=(SourceConfig(name="trackingnet", split="train"),),
        samples_per_epoch=1,
        search_jitter=JitterConfig(center=3.0, scale=0.25),
    )
    pools = [Pool(dataset, every=30) for dataset in datasets]
    return Pairs(config, pools, CropConfig(size=32, factor=2.0), CropConfig(size=64, factor=4.0), seed=0)


@contextmanager
def working(datasets: list[abc.Sequence[Sequence]], workers: int) -> Iterator[Iterator[Batch]]:
    """Batches of 10 samples from new workers."""
    groups = (range(first, first + 10) for first in range(0, 10**6, 10))
    batches = load_batches(pairs_of(datasets), groups, workers)
    try:
        yield batches
    finally:
        batches.close()


def own_memory() -> list[int]:
    """Bytes that each worker has for itself: pages that it wrote, which no other process can share."""
    rollups = (Path(f"/proc/{child.pid}/smaps_rollup").read_text() for child in multiprocessing.active_children())
    return [int(re.search(r"Private_Dirty: +(\d+) kB", rollup)[1]) * 1024 for rollup in rollups]


def memory_after(datasets: list[abc.Sequence[Sequence]], workers: int, samples: int) -> int:
    """Bytes that all workers have for themselves after some samples."""
    with working(datasets, workers) as batches:
        for _ in range(samples // 10):
            next(batches)
        memory = own_memory()
    assert len(memory) == workers
    return sum(memory)


def test_eight_workers_share_one_index(tmp_path):
    small = simulated(tmp_path / "small", videos=12)
    large = simulated(tmp_path / "large", videos=7000)
    assert size(large) > 100 * MEGABYTE > 100 * size(small)
    memories = [memory_after(indices, workers=8, samples=400) for indices in (small, large)]
    assert memories[1] - memories[0] < 8 * 2 * MEGABYTE, memories


def test_a_list_instead_of_an_index_shows(tmp_path):
    indices = simulated(tmp_path, videos=1260)
    memories = [memory_after(datasets, 2, 100) for datasets in (indices, [ListedSequences(index) for index in indices])]
    assert memories[1] - memories[0] > 2 * 0.8 * size(indices), memories


def test_eight_workers_do_not_grow(tmp_path):
    with working(simulated(tmp_path, videos=600), workers=8) as batches:
        for _ in range(100):
            next(batches)
        early = own_memory()
        for _ in range(900):
            assert next(batches).damaged == ()
        late = own_memory()
    assert len(early) == len(late) == 8
    # A worker is warm after some thousand samples, with 2 to 5 MB more than at first, and stays so (seen to 40,000).
    assert sum(late) - sum(early) < 8 * 6 * MEGABYTE, (early, late)


def test_samples_leave_no_objects(tmp_path):
    """What the bound above is too wide to see: less than an object for ten samples."""
    pairs = pairs_of(simulated(tmp_path, videos=120))
    for number in range(1000):
        pairs.sample(number)
    gc.collect()
    before = sys.getallocatedblocks()
    for number in range(1000, 10_000):
        pairs.sample(number)
    gc.collect()
    assert sys.getallocatedblocks() - before < 900
