"""How fast training samples are made from each store, beside the straightforward way; and how fast an index opens."""

from __future__ import annotations

import cProfile
import json
import multiprocessing
import os
import platform
import pstats
import signal
import tempfile
import time
from collections import abc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from tqdm import tqdm

from lib.config.paths import REPOSITORY
from lib.data.augment import JitterConfig, jitter_box
from lib.data.decoding.images import DECODERS, find_decoder
from lib.data.loader import build_loader
from lib.data.pairs import DataConfig, Pairs, SourceConfig
from lib.data.sampling import Pool, draw_frames, draw_sequence, drawable
from lib.data.stores.cropping import write_crops
from lib.data.stores.crops import CropSettings, open_crops
from lib.data.stores.index import open_dataset
from lib.data.stores.packing import pack_dataset
from lib.data.stores.reach import Role
from lib.data.types import Sequence
from lib.geometry.crop import CropConfig, Window, crop_window, is_empty
from lib.profiling.simulation import write_simulated_trackingnet
from lib.profiling.textures import HEIGHT, JPEG_QUALITY, WIDTH, write_textures
from lib.runtime.allocator import keep_large_buffers
from lib.runtime.children import born_blocking, end_with_parent, preload_project
from lib.runtime.columns import columns
from lib.runtime.files import write_text

# GRM's settings (experiments/vitb_256_ep300.yaml of its repository).
TEMPLATE = Role(CropConfig(size=128, factor=2.0), JitterConfig())
SEARCH = Role(CropConfig(size=256, factor=4.0), JitterConfig(center=3.0, scale=0.25))
CONFIG = DataConfig(
    train=(SourceConfig(name="got10k", split="full"),), samples_per_epoch=1, search_jitter=SEARCH.jitter
)
DATASET, SPLIT = "got10k", "full"
SEED = 0
STRAIGHTFORWARD = "straightforward"
STORES = ("folder", "lmdb", "crops")
# What each is to reach: pairs per second beside the straightforward way, those of 2 processes beside one's, seconds.
GOALS = {"folder": 2.0, "lmdb": 2.2, "crops": 5.0, "2 processes": 1.8, "index": 2.0}

STAGES = ("reading", "decoding", "cropping", "augmenting", "rest")
# The stage of a function by its module, but for those that stand with their name. Functions of other packages belong to
# the stage of the function of ours that called them.
_STAGE_OF = {
    "images.py": "decoding",
    "jpeg.py": "decoding",
    "libturbojpeg.py": "decoding",
    "segments.py": "decoding",
    "crops.py": "cropping",
    "crops.py:decode": "decoding",
    "crops.py:_read": "reading",
    "crops.py:find": "rest",
    "packed.py": "reading",
    "views.py": "cropping",
    "cutouts.py": "cropping",
    "pasting.py": "cropping",
    "crop.py": "cropping",
    "augment.py": "augmenting",
    "appearance.py": "augmenting",
    "pairs.py:_as_tensors": "augmenting",
    "samples.py:_imread": "decoding",
    "samples.py:_cut": "cropping",
}
_LIB = str(REPOSITORY / "lib")
_ROUNDS = 7
_LOADER_ROUNDS = 3  # each starts its workers
_SHARED_PAIRS = 60  # over which the stages of a contestant are told
_GROUP = 40  # pairs in a batch of the loader, as GRM has them
_START_METHOD = "forkserver"
_TEMPORARY = "tracking_profile_"


class Contestant(NamedTuple):
    """A way to make samples: from which store (or the straightforward way), by which decoder, scaled or exact."""

    store: str
    decoder: str
    scaled: bool = False


class Turn(NamedTuple):
    """What one contestant took for its samples of a round: seconds by the clock and of the processor, and how many of
    its crops a crop store did not have."""

    seconds: float
    processor: float
    missed: int


@dataclass(frozen=True)
class Row:
    """What was measured of one contestant, in one process with one thread: medians over the rounds.

    * ``ratio``: pairs a second beside the straightforward way's, on the same pairs; ``processor_ratio`` the same by
      the processor's time, which other programs on the machine disturb less.
    * ``shares``: of each stage in the time of a sample, told by a profiler, which makes short calls look a little
      longer than they are. Reading is part of decoding in the straightforward way.
    * ``missed``: share of crops that the crop store did not have, None without one.
    """

    store: str
    decoder: str
    scaled: bool
    pairs_per_second: float
    ratio: float
    processor_ratio: float
    shares: dict[str, float]
    missed: float | None


@dataclass(frozen=True)
class Scaling:
    """Pairs per second of one process and of two at a time, medians over the rounds.

    ``ratio`` and, by the processor's time, ``processor_ratio``: two beside one. ``loader_one`` and ``loader_two``: what
    ``lib.data.loader.build_loader`` delivers with 1 and 2 workers, to a process that does nothing else.
    """

    store: str
    one: float
    two: float
    ratio: float
    processor_ratio: float
    loader_one: float
    loader_two: float


@dataclass(frozen=True)
class IndexTimes:
    """How long opening a simulated TrackingNet took: ``first`` when its index was made, ``second`` in a new process."""

    videos: int
    first: float
    second: float
    size: int


@dataclass
class ProfileReport:
    """What ``profile_samples`` and ``profile_index`` measured, and on what machine."""

    machine: dict[str, str]
    frames: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    scaling: list[Scaling] = field(default_factory=list)
    index: IndexTimes | None = None

    def goals(self) -> dict[str, tuple[float, float, bool]]:
        """What is aimed at, what was reached and whether that will do, of all that was measured. A store's is that of
        the decoder ``auto``, exact; of 2 processes the least of all stores; of the index the seconds."""
        reached = {}
        for store in STORES:
            ratios = [row.ratio for row in self.rows if (row.store, row.scaled) == (store, False)]
            reached |= {store: ratios[0]} if ratios else {}
        if self.scaling:
            reached["2 processes"] = min(scaling.ratio for scaling in self.scaling)
        if self.index:
            reached["index"] = self.index.second
        return {
            name: (GOALS[name], value, value <= GOALS[name] if name == "index" else value >= GOALS[name])
            for name, value in reached.items()
        }

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        goals = {
            name: {"goal": goal, "reached": value, "holds": holds}
            for name, (goal, value, holds) in self.goals().items()
        }
        return asdict(self) | {"goals": goals}

    def write(self, path: Path) -> None:
        """Write ``to_json`` to a file; ``OSError`` names it."""
        write_text(path, json.dumps(self.to_json(), indent=1) + "\n")

    def text(self) -> str:
        """The tables for a terminal."""
        lines = ["; ".join(f"{name} {value}" for name, value in self.machine.items())]
        if self.rows:
            lines += ["", _describe_frames(self.frames), ""]
            lines += columns(
                ["store", "decoder", "pairs/s", "ms/pair", "ratio", "by CPU time", *STAGES],
                [
                    [
                        row.store,
                        row.decoder + (" scaled" if row.scaled else ""),
                        f"{row.pairs_per_second:.1f}",
                        f"{1000 / row.pairs_per_second:.2f}",
                        f"{row.ratio:.2f}",
                        f"{row.processor_ratio:.2f}",
                        *_percentages(row),
                    ]
                    for row in self.rows
                ],
            )
            missed = [row.missed for row in self.rows if row.missed is not None]
            lines += [f"the crop store did not have {median(missed):.2%} of the crops"] if missed else []
        if self.scaling:
            lines += [""]
            lines += columns(
                ["pairs/s", "1 process", "2 processes", "ratio", "by CPU time", "loader, 1 worker", "2 workers"],
                [
                    [
                        row.store,
                        *(f"{value:.1f}" for value in (row.one, row.two)),
                        f"{row.ratio:.2f}",
                        f"{row.processor_ratio:.2f}",
                        *(f"{value:.1f}" for value in (row.loader_one, row.loader_two)),
                    ]
                    for row in self.scaling
                ],
            )
        if self.index:
            index = self.index
            lines += [
                "",
                f"TrackingNet simulated, {index.videos} videos: opened in {index.first:.1f} s the first time and "
                f"{index.second:.2f} s the second; the index has {index.size / 1e6:.1f} MB",
            ]
        lines += [""]
        for name, (goal, value, holds) in self.goals().items():
            sides = ("at most", "s") if name == "index" else ("at least", "x")
            lines.append(f"goal {name}: {sides[0]} {goal} {sides[1]}, {value:.2f}: {'holds' if holds else 'MISSED'}")
        return "\n".join(lines)


def profile_samples(
    folder: Path | None = None,
    *,
    seconds: float = 10.0,
    sequences: int = 12,
    frames: int = 30,
    quality: int = JPEG_QUALITY,
) -> ProfileReport:
    """Measure every store with every decoder that is installed, beside the straightforward way.

    ``sequences`` videos of ``frames`` frames (at least 20), JPEGs of ``quality``, are written below ``folder`` (None:
    where the system keeps temporary files) and removed afterwards. All contestants make the same pairs in turn, in
    rounds; those of the straightforward way take about ``seconds`` in all.
    """
    report = ProfileReport(describe_machine())
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=folder) as temporary:
        stores = _write_stores(Path(temporary), sequences, frames, quality)
        report.frames = stores.sizes
        report.rows = _race(stores, seconds)
        report.scaling = [
            _scale(stores, row, seconds / 2) for row in tqdm(_best(report.rows), "two processes", disable=None)
        ]
    return report


def profile_index(folder: Path | None = None, *, videos: int) -> ProfileReport:
    """Measure how long a simulated TrackingNet of so many videos of 480 frames takes to open, twice."""
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=folder) as temporary:
        root, cache = Path(temporary) / "trackingnet", Path(temporary) / "cache"
        write_simulated_trackingnet(root, videos, jpegs=False)
        times = []
        for _ in range(2):
            with _process(_open_index, root, cache) as connection:
                times.append(connection.recv())
        size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    return ProfileReport(describe_machine(), index=IndexTimes(videos, *times, size))


def describe_machine() -> dict[str, str]:
    """What the numbers depend on: processor, cores, load when asked, and versions."""
    packages = {}
    for package in ("numpy", "torch", "opencv-python-headless", "opencv-python", "simplejpeg", "turbojpeg", "lmdb"):
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        **packages,
    }


class _Stores(NamedTuple):
    """Where everything lies; ``sizes`` are numbers about it for the report."""

    roots: dict[str, Path]
    cache: Path
    crops: Path
    sizes: dict[str, Any]

    def pairs(self, contestant: Contestant) -> Pairs:
        """The pairs as training makes them."""
        config = CONFIG.model_copy(update={"decoder": contestant.decoder, "scaled_decoding": contestant.scaled})
        index = open_dataset(DATASET, SPLIT, self.roots.get(contestant.store, self.roots["folder"]), self.cache)
        crops = None
        if contestant.store == "crops":
            wanted = CropSettings(TEMPLATE, SEARCH)
            crops = open_crops(
                self.crops / SPLIT, index, wanted, dataset=DATASET, split=SPLIT, remedy="", decoder=contestant.decoder
            )
        return Pairs(config, [Pool(index, crops=crops)], TEMPLATE.crop, SEARCH.crop, SEED)


def _write_stores(folder: Path, sequences: int, frames: int, quality: int) -> _Stores:
    roots = {"folder": folder / "got10k", "lmdb": folder / "packed"}
    cache, crops = folder / "cache", folder / "crops"
    size = write_textures(roots["folder"], sequences, frames, quality=quality)
    pack_dataset(DATASET, [SPLIT], roots["folder"], roots["lmdb"])
    summary = write_crops(DATASET, SPLIT, roots["folder"], cache, crops, CropSettings(TEMPLATE, SEARCH))
    sizes = {
        "width": WIDTH,
        "height": HEIGHT,
        "jpeg_quality": quality,
        "sequences": sequences,
        "frames": sequences * frames,
        "bytes_per_frame": size // (sequences * frames),
        "crop_bytes_per_frame": summary.bytes // summary.frames,
    }
    return _Stores(roots, cache, crops, sizes)


def _contestants() -> list[Contestant]:
    """The straightforward way, then every store with every decoder, that of ``auto`` first, and scaled."""
    best = find_decoder("auto")
    installed = [name for name, decoder in DECODERS.items() if name != best and decoder.missing() is None]
    found = [Contestant(STRAIGHTFORWARD, "cv2.imread")]
    for store in STORES:
        found += [Contestant(store, decoder) for decoder in (best, *installed)]
        # What a crop store holds is scaled already.
        found += [Contestant(store, best, scaled=True)] if store != "crops" else []
    return found


def _race(stores: _Stores, seconds: float) -> list[Row]:
    contestants = _contestants()
    with ExitStack() as stack:
        processes = [stack.enter_context(_process(_serve, contestant, stores)) for contestant in contestants]

        def in_turn(*task: Any) -> list[Any]:
            return [answer for connection in processes for answer in _ask([connection], *task)]

        # The first samples fill caches, and say how many the straightforward way makes in the time that it has.
        count = max(1, round(10 * seconds / _ROUNDS / in_turn("turn", 0, 10)[0].seconds))
        numbers = tqdm(range(_ROUNDS), "rounds", disable=None)
        rounds = [in_turn("turn", number * count, count) for number in numbers]
        shares = in_turn("shares", 0, _SHARED_PAIRS)
    rows = []
    for place, contestant in enumerate(contestants):
        own = [turns[place] for turns in rounds]
        missed = sum(turn.missed for turn in own) / (2 * count * _ROUNDS)
        rows.append(
            Row(
                *contestant,
                pairs_per_second=count / median(turn.seconds for turn in own),
                ratio=median(turns[0].seconds / turns[place].seconds for turns in rounds),
                processor_ratio=median(turns[0].processor / turns[place].processor for turns in rounds),
                shares=shares[place],
                missed=missed if contestant.store == "crops" else None,
            )
        )
    return rows


def _best(rows: list[Row]) -> list[Row]:
    """Of each store the row of the decoder ``auto``."""
    return [next(row for row in rows if (row.store, row.scaled) == (store, False)) for store in STORES]


def _scale(stores: _Stores, row: Row, seconds: float) -> Scaling:
    """One process and two in turn, then the loader with one worker and two."""
    contestant = Contestant(row.store, row.decoder)
    count = max(1, round(row.pairs_per_second * seconds / _ROUNDS))
    with _process(_serve, contestant, stores) as first, _process(_serve, contestant, stores) as second:
        _ask([first, second], "turn", 0, 10)
        rounds = [
            (*_ask([first], "turn", number * count, count), _ask([first, second], "turn", number * count, count))
            for number in range(_ROUNDS)
        ]
    pairs = stores.pairs(contestant)
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(_LOADER_ROUNDS):
        for workers, found in rates.items():
            found.append(_time_loader(pairs, workers, max(1, round(workers * count / _GROUP))))
    return Scaling(
        row.store,
        one=count / median(alone.seconds for alone, _ in rounds),
        two=2 * count / median(max(turn.seconds for turn in together) for _, together in rounds),
        ratio=median(2 * alone.seconds / max(turn.seconds for turn in together) for alone, together in rounds),
        processor_ratio=median(
            2 * alone.processor / max(turn.processor for turn in together) for alone, together in rounds
        ),
        loader_one=median(rates[1]),
        loader_two=median(rates[2]),
    )


def _ask(connections: list[Connection], *task: Any) -> list[Any]:
    """The answers of processes that work at the same time."""
    for connection in connections:
        connection.send(task)
    return [connection.recv() for connection in connections]


def _time_loader(pairs: Pairs, workers: int, groups: int) -> float:
    """Pairs per second over so many batches, from when the workers are at work."""
    ahead = 4 * workers  # batches that lie ready at most, and some more
    numbers = [range(first, first + _GROUP) for first in range(0, (groups + ahead) * _GROUP, _GROUP)]
    batches = iter(build_loader(pairs, numbers, workers))
    for _ in islice(batches, ahead):
        pass
    start = time.perf_counter()
    for _ in batches:
        pass
    return groups * _GROUP / (time.perf_counter() - start)


@contextmanager
def _process(target: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    """A process of its own for ``target(connection, *arguments)``; it ends when the connection does.

    It is forked from a server that has loaded this module and done nothing else, as the loader's workers are, and does
    not hear a Ctrl-C.
    """
    context = multiprocessing.get_context(_START_METHOD)
    preload_project()
    connection, far_end = context.Pipe()
    process = context.Process(target=_begin, args=(far_end, target, *arguments), daemon=True)
    try:
        with born_blocking({signal.SIGINT}):
            process.start()
        far_end.close()
        connection.send(None)
        yield connection
    except EOFError as error:
        raise ValueError("a process that was measured has failed; what it said stands above") from error
    finally:
        connection.close()
        if process.pid is not None:
            process.join(1)
            process.kill()
            process.join()


def _begin(connection: Connection, target: Callable[..., None], *arguments: Any) -> None:
    """Runs the target, unless the main process was interrupted while it started this one; ends when that has gone."""
    end_with_parent()
    try:
        connection.recv()
        target(connection, *arguments)
    except (EOFError, ConnectionError):
        return


def _serve(connection: Connection, contestant: Contestant, stores: _Stores) -> None:
    """Make samples on request: ("turn", first number, how many) for a ``Turn``, ("shares", ...) for stages."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    if contestant.store == STRAIGHTFORWARD:
        index = open_dataset(DATASET, SPLIT, stores.roots["folder"], stores.cache)
        make: Callable[[int], Any] = Straightforward(index, CONFIG, TEMPLATE.crop, SEARCH.crop, SEED).sample
    else:
        keep_large_buffers()
        make = stores.pairs(contestant).sample
    while True:
        try:
            task, first, count = connection.recv()
        except EOFError:
            return
        measure = _take_turn if task == "turn" else _tell_shares
        connection.send(measure(make, range(first, first + count)))


def _take_turn(make: Callable[[int], Any], numbers: range) -> Turn:
    missed = 0
    start, processor = time.perf_counter(), time.process_time()
    for number in numbers:
        missed += getattr(make(number), "missed", 0)
    return Turn(time.perf_counter() - start, time.process_time() - processor, missed)


def _tell_shares(make: Callable[[int], Any], numbers: range) -> dict[str, float]:
    """The share of each stage, summing to 1."""
    profiler = cProfile.Profile()
    with profiler:
        for number in numbers:
            make(number)
    return share_stages(pstats.Stats(profiler).stats)


Function = tuple[str, int, str]


def share_stages(stats: dict[Function, tuple]) -> dict[str, float]:
    """The share of each of ``STAGES`` in what a profiler has seen (``pstats.Stats.stats``); they sum to 1.

    Time in functions of other packages is passed on to their callers, in proportion, until it meets one of ours.
    """
    times = dict.fromkeys(STAGES, 0.0)
    carried = {function: values[2] for function, values in stats.items()}
    foreign = {function for function in stats if _stage(function) is None}
    for function in stats.keys() - foreign:
        times[_stage(function)] += carried[function]
    # Foreign functions call each other a few levels deep; what is left after so many steps is lost in "rest".
    pending = {function: carried[function] for function in foreign}
    for _ in range(20):
        passed: dict[Function, float] = {}
        for function, amount in pending.items():
            callers = stats[function][4]
            total = sum(edge[3] for edge in callers.values())
            if not callers or total <= 0:
                times["rest"] += amount
                continue
            for caller, edge in callers.items():
                part = amount * edge[3] / total
                stage = _stage(caller)
                if stage is not None:
                    times[stage] += part
                else:
                    passed[caller] = passed.get(caller, 0.0) + part
        pending = passed
    times["rest"] += sum(pending.values())
    total = sum(times.values())
    return {stage: amount / total for stage, amount in times.items()}


def _stage(function: Function) -> str | None:
    """The stage of a function, None for one of another package."""
    path, _, name = function
    if name == "read_bytes":
        return "reading"
    if not path.startswith(_LIB):
        return None
    file = os.path.basename(path)
    return _STAGE_OF.get(f"{file}:{name}") or _STAGE_OF.get(file, "rest")


class Straightforward:
    """The pinned way to make the pixels of a pair: both frames read and decoded whole, cut with padding, resized, as
    float32 tensors. The pairs are those of ``lib.data.pairs.Pairs``, but none is mirrored or made grey."""

    def __init__(
        self, sequences: abc.Sequence[Sequence], config: DataConfig, template: CropConfig, search: CropConfig, seed: int
    ) -> None:
        self._pool, self._config, self._seed = Pool(sequences), config, seed
        self._positions = [drawable(self._pool)]
        self._roles = (Role(template, config.template_jitter), Role(search, config.search_jitter))

    def sample(self, number: int) -> tuple[torch.Tensor, ...]:
        """Template and search crop of a sample, float32 ``[3, S, S]`` RGB in 0..1."""
        rng = np.random.default_rng((self._seed, number))
        while True:
            _, sequence = draw_sequence([self._pool], self._positions, np.ones(1), rng)
            frames = draw_frames(sequence, self._config.pairing, self._config.max_gap, rng)
            rng.random(2)  # grayscale and flip of the pair
            crops = []
            for frame, role in zip(frames, self._roles, strict=True):
                image = _imread(sequence.frames[frame])
                jittered = jitter_box(sequence.boxes[frame], role.jitter, rng)
                window = crop_window(jittered, role.crop.factor)
                if is_empty(image.shape, window, role.crop.size, 16):
                    break
                rng.random(2)  # brightness and flip of the crop
                crop = _cut(image, window, role.crop.size)
                crops.append(torch.from_numpy(crop.transpose(2, 0, 1)).float().div(255))
            else:
                return tuple(crops)


def _imread(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def _cut(image: np.ndarray, window: Window, size: int) -> np.ndarray:
    """As ``lib.geometry.crop.cut``, in the lineage's way."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = window.x1, window.y1, window.x1 + window.side, window.y1 + window.side
    left, top, right, bottom = max(0, -x1), max(0, -y1), max(0, x2 - width + 1), max(0, y2 - height + 1)
    inside = image[y1 + top : y2 - bottom, x1 + left : x2 - right]
    return cv2.resize(cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_CONSTANT), (size, size))


def _open_index(connection: Connection, root: Path, cache: Path) -> None:
    start = time.perf_counter()
    index = open_dataset("trackingnet", "train", root, cache)
    index[len(index) - 1].boxes.sum()
    connection.send(time.perf_counter() - start)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _describe_frames(frames: dict[str, Any]) -> str:
    return (
        f"{frames['frames']} frames of {frames['width']} x {frames['height']}, JPEG quality {frames['jpeg_quality']}, "
        f"{frames['bytes_per_frame'] / 1000:.0f} kB each; {frames['crop_bytes_per_frame'] / 1000:.0f} kB in the crop "
        f"store. Crops of {TEMPLATE.crop.size} and {SEARCH.crop.size} px, one process, one thread:"
    )


def _percentages(row: Row) -> list[str]:
    shares = {stage: f"{share:.0%}" for stage, share in row.shares.items()}
    return list((shares | {"reading": "-"} if row.store == STRAIGHTFORWARD else shares).values())
