"""Pairs a second that one process makes from each store, beside the straightforward way."""

import functools
import sys
import tempfile
import time
from collections import abc
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from tqdm import tqdm

from lib.data.augment import JitterConfig, Role, jitter_box
from lib.data.decoding.images import DECODERS, find_decoder
from lib.data.loader import load_batches
from lib.data.pairs import DataConfig, Pairs, SourceConfig
from lib.data.pools import Mixture, Pool
from lib.data.sampling import draw_frames
from lib.data.stores.cropping import write_crops
from lib.data.stores.crops import open_crops
from lib.data.stores.index import open_dataset
from lib.data.stores.packing import pack_dataset
from lib.data.stores.reach import CropSettings
from lib.data.types import Sequence
from lib.geometry.crop import CropConfig, Window, crop_window, is_empty
from lib.profiling.footage import HEIGHT, WIDTH, write_footage
from lib.profiling.report import MeasuredRow, MeasuredTable, Report, describe_machine
from lib.runtime.children import Processes
from lib.runtime.machine import keep_large_buffers
from lib.runtime.stop import terminated_like_interrupted

# GRM's settings (experiments/vitb_256_ep300.yaml of its repository).
TEMPLATE = Role(crop=CropConfig(size=128, factor=2.0), jitter=JitterConfig())
SEARCH = Role(crop=CropConfig(size=256, factor=4.0), jitter=JitterConfig(center=3.0, scale=0.25))
CONFIG = DataConfig(
    train=(SourceConfig(name="got10k", split="full"),), samples_per_epoch=1, search_jitter=SEARCH.jitter
)
SEED = 0
STRAIGHTFORWARD = "straightforward"
STORES = ("folder", "lmdb", "crops")
# Packages of lib that have a column for their share of a sample's time; the rest has another.
PACKAGES = ("data.stores", "data.decoding", "geometry")

_LIB = f"{Path(__file__).parents[1]}/"
_ROUNDS = 7
_LOADER_ROUNDS = 3  # each starts its workers
_PROFILED = 60  # samples
_GROUP = 40  # pairs in a batch of the loader, as in GRM
_SAMPLES = (
    "Pairs a second of one process with one thread: medians; ratios to the straightforward way on the same pairs, by\n"
    "the clock and by the processor's time; share of crops that the crop store lacked; shares of a sample's time in\n"
    "packages of lib"
)
_LOADER = "Pairs a second of the loader with 1 and 2 workers: medians"


class Contestant(NamedTuple):
    """A way to make samples: the store (or the straightforward way), and the decoder."""

    store: str
    decoder: str


def profile_samples(folder: Path | None, *, seconds: float, sequences: int, frames: int, quality: int) -> Report:
    """Measure each store with each decoder that is installed, beside the straightforward way.

    ``sequences`` videos of ``frames`` frames (at least 20), JPEGs of ``quality``, are written below ``folder`` (None:
    the system's temporary folder) and removed afterwards. All contestants make the same pairs in turn, in rounds; those
    of the straightforward way take about ``seconds`` in all.
    """
    with (
        terminated_like_interrupted(),
        tempfile.TemporaryDirectory(prefix="tracking_profile_", dir=folder) as temporary,
    ):
        root = Path(temporary)
        settings = _write_stores(root, sequences, frames, quality)
        rows = _race(root, seconds)
        loader = [_loader_row(root, store, rows, seconds) for store in STORES]
    tables = {"samples": MeasuredTable(_SAMPLES, rows), "loader": MeasuredTable(_LOADER, loader)}
    return Report(describe_machine(), settings, tables)


def contestants() -> list[Contestant]:
    """The straightforward way, then each store with each decoder that is installed, that of ``auto`` first."""
    best = find_decoder("auto")
    others = [name for name, decoder in DECODERS.items() if name != best and decoder.is_installed()]
    ours = [Contestant(store, decoder) for store in STORES for decoder in (best, *others)]
    return [Contestant(STRAIGHTFORWARD, "cv2.imread"), *ours]


def _write_stores(root: Path, sequences: int, frames: int, quality: int) -> dict[str, Any]:
    """Write the same frames into a folder, an LMDB and a crop store; numbers about them for the report."""
    size = write_footage(root / "folder", sequences, frames, quality=quality)
    pack_dataset("got10k", ["full"], root / "folder", root / "lmdb")
    settings = CropSettings(template=TEMPLATE, search=SEARCH)
    crops = write_crops("got10k", "full", root / "folder", root / "cache", root / "crops", settings)
    return {
        "frames": sequences * frames,
        "size": f"{WIDTH} x {HEIGHT}",
        "JPEG quality": quality,
        "bytes a frame": size // (sequences * frames),
        "in the crop store": crops.bytes // crops.frames,
    }


def open_pairs(root: Path, contestant: Contestant) -> Pairs:
    """The pairs as training makes them, from the stores below ``root``."""
    index = open_dataset("got10k", "full", root / ("lmdb" if contestant.store == "lmdb" else "folder"), root / "cache")
    crops = open_crops(
        root / "crops" / "full", index, CropSettings(template=TEMPLATE, search=SEARCH),
        dataset="got10k", split="full", remedy="", decoder=contestant.decoder,
    ) if contestant.store == "crops" else None  # fmt: skip
    config = CONFIG.model_copy(update={"decoder": contestant.decoder})
    return Pairs(config, [Pool(index, crops=crops)], TEMPLATE.crop, SEARCH.crop, SEED)


# In the processes that are measured


def _prepare_plain() -> None:
    """One thread; the allocator as it is."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _prepare() -> None:
    _prepare_plain()
    keep_large_buffers()


@functools.cache
def _sampler(root: Path, contestant: Contestant) -> Callable[[int], Any]:
    if contestant.store == STRAIGHTFORWARD:
        index = open_dataset("got10k", "full", root / "folder", root / "cache")
        return Straightforward(index, CONFIG, TEMPLATE.crop, SEARCH.crop, SEED).sample
    return open_pairs(root, contestant).sample


def _take_turn(root: Path, contestant: Contestant, numbers: range) -> tuple[float, float, int]:
    """The costs of samples: seconds by the clock and of the processor, and the number of crops that the crop store
    lacked."""
    make = _sampler(root, contestant)
    start, processor = time.perf_counter(), time.process_time()
    missed = sum(getattr(make(number), "missed", 0) for number in numbers)
    return time.perf_counter() - start, time.process_time() - processor, missed


def _profile(root: Path, contestant: Contestant, numbers: range) -> dict[str, float]:
    return share_packages(_sampler(root, contestant), numbers)


def share_packages(make: Callable[[int], Any], numbers: range) -> dict[str, float]:
    """Shares of the time of ``make`` in each of ``PACKAGES`` and in the rest of the program; they sum to 1.

    A function outside of lib counts for the package that called it.
    """
    times = dict.fromkeys((*PACKAGES, "rest"), 0.0)
    running = ["rest"]
    last = time.perf_counter()

    def note(frame: FrameType, event: str, _: Any) -> None:
        nonlocal last
        if event not in ("call", "return"):
            return
        times[running[-1]] += time.perf_counter() - last
        if event == "call":
            running.append(_package(frame.f_code.co_filename) or running[-1])
        elif len(running) > 1:
            running.pop()
        last = time.perf_counter()

    sys.setprofile(note)
    try:
        for number in numbers:
            make(number)
    finally:
        sys.setprofile(None)
    total = sum(times.values())
    return {name: seconds / total for name, seconds in times.items()}


def _package(file: str) -> str | None:
    """The package that a source file belongs to, None outside of lib."""
    if not file.startswith(_LIB):
        return None
    module = file.removeprefix(_LIB).replace("/", ".")
    return next((package for package in PACKAGES if module.startswith(f"{package}.")), "rest")


# The measurements


def _race(root: Path, seconds: float) -> list[MeasuredRow]:
    """The rows of all contestants, which have turns."""
    names = contestants()
    with Processes(1, _prepare_plain) as plain, Processes(1, _prepare) as ours:
        pools = [plain, *[ours] * (len(names) - 1)]

        def in_turn(task: Callable, numbers: range) -> list[Any]:
            tasks = zip(pools, names, strict=True)
            return [pool.submit(task, root, name, numbers).result() for pool, name in tasks]

        # The first samples fill caches, and show how many the straightforward way makes in its time.
        count = max(1, round(10 * seconds / _ROUNDS / in_turn(_take_turn, range(10))[0][0]))
        numbers = [range(number * count, (number + 1) * count) for number in range(_ROUNDS)]
        rounds = np.array([in_turn(_take_turn, each) for each in tqdm(numbers, "rounds", disable=None)])
        shares = in_turn(_profile, range(_PROFILED))
    rates = count / np.median(rounds[..., 0], axis=0)
    ratios = np.median(rounds[:, :1, :2] / rounds[..., :2], axis=0)
    missed = rounds[..., 2].sum(axis=0) / (2 * count * _ROUNDS)
    numbers = zip(rates.tolist(), ratios.tolist(), missed.tolist(), strict=True)
    rows: list[MeasuredRow] = []
    for name, (rate, (ratio, processor), lacking), share in zip(names, numbers, shares, strict=True):
        rows.append({
            "store": name.store,
            "decoder": name.decoder,
            "pairs/s": rate,
            "ms/pair": 1000 / rate,
            "ratio": ratio,
            "by CPU time": processor,
            "missed": lacking if name.store == "crops" else None,
            **(dict.fromkeys(share) if name.store == STRAIGHTFORWARD else share),
        })  # fmt: skip
    return rows


def _loader_row(root: Path, store: str, rows: list[MeasuredRow], seconds: float) -> MeasuredRow:
    """Pairs a second that the loader delivers to an idle process, from the store by the decoder of ``auto``."""
    row = next(row for row in rows if row["store"] == store)
    pairs = open_pairs(root, Contestant(store, row["decoder"]))
    groups = row["pairs/s"] * seconds / _ROUNDS / 2 / _GROUP
    rounds = [
        [_time_loader(pairs, workers, max(1, round(workers * groups))) for workers in (1, 2)]
        for _ in range(_LOADER_ROUNDS)
    ]
    one, two = np.median(rounds, axis=0).tolist()
    return {"store": store, "1 worker": one, "2 workers": two, "ratio": two / one}


def _time_loader(pairs: Pairs, workers: int, groups: int) -> float:
    """Pairs a second over so many batches, after the first ones, which workers prepare in advance."""
    ahead = 4 * workers
    numbers = [range(first, first + _GROUP) for first in range(0, (groups + ahead) * _GROUP, _GROUP)]
    batches = load_batches(pairs, numbers, workers)
    for _ in islice(batches, ahead):
        pass
    start = time.perf_counter()
    for _ in batches:
        pass
    return groups * _GROUP / (time.perf_counter() - start)


class Straightforward:
    """The usual way to make the pixels of a pair: both frames read and decoded whole, cut with padding, resized, as
    float32 tensors. The pairs are those of ``lib.data.pairs.Pairs``, but never mirrored or gray."""

    def __init__(
        self, sequences: abc.Sequence[Sequence], config: DataConfig, template: CropConfig, search: CropConfig, seed: int
    ) -> None:
        self._mixture, self._config, self._seed = Mixture([Pool(sequences)]), config, seed
        self._roles = (template, config.template_jitter), (search, config.search_jitter)

    def sample(self, number: int) -> tuple[torch.Tensor, ...]:
        """Template and search crop of a sample, float32 ``[3, S, S]`` RGB in 0..1."""
        rng = np.random.default_rng((self._seed, number))
        while True:
            _, sequence = self._mixture.draw(rng)
            frames = draw_frames(sequence, self._config.pairing, self._config.max_gap, rng)
            rng.random(2)  # grayscale and flip of the pair
            crops = []
            for frame, (crop, jitter) in zip(frames, self._roles, strict=True):
                image = cv2.cvtColor(cv2.imread(str(sequence.frames[frame])), cv2.COLOR_BGR2RGB)
                jittered = jitter_box(sequence.boxes[frame], jitter, rng)
                window = crop_window(jittered, crop.factor)
                if is_empty(image.shape, window, crop.size, 16):
                    break
                rng.random(2)  # brightness and flip of the crop
                pixels = _cut(image, window, crop.size)
                crops.append(torch.from_numpy(pixels.transpose(2, 0, 1)).float().div(255))
            else:
                return tuple(crops)


def _cut(image: np.ndarray, window: Window, size: int) -> np.ndarray:
    """As ``lib.geometry.crop.cut``, in the way of the published code."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = window.x1, window.y1, window.x1 + window.side, window.y1 + window.side
    left, top, right, bottom = max(0, -x1), max(0, -y1), max(0, x2 - width + 1), max(0, y2 - height + 1)
    inside = image[y1 + top : y2 - bottom, x1 + left : x2 - right]
    return cv2.resize(cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_CONSTANT), (size, size))
