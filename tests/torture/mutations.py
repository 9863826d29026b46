"""Files that are damaged in one place, by class of byte, and read as the programs read them: each has to give equal
results, or be refused by a ValueError whose one line names it, in bounded time and memory."""

import os
import random
import re
import resource
import signal
import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from crop_stores import make_store, open_index, open_store, settings
from miniatures import jpeg, write_got10k
from torture.content import digest
from torture.table import Table
from toy_experiment import write_experiment

from lib.data.stores.index import open_dataset
from lib.data.stores.packed import close_store
from lib.data.stores.packed import open_store as open_packed
from lib.data.stores.packing import check_batch, pack_dataset
from lib.evaluation.results.folder import ResultsFolder, open_results
from lib.experiment.build import build_model, experiment_of_checkpoint
from lib.experiment.config import load_experiment, to_tree
from lib.inference.engine import Track
from lib.models.weights.released import load_file
from lib.runtime.checkpoint import read_training_checkpoint, save_checkpoint

HEADS = ("mutations", "refused", "equal", "wrong")
SECONDS, BYTES = 10, 2**30  # that reading a damaged file may take
PAGE = 4096  # of LMDB
_NUMBER = re.compile(rb"[ \t]*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[ \t]*")

Regions = dict[str, list[range]]


class Target(NamedTuple):
    """A file, its bytes by class, and a reader: a digest of all that it gives, ``ValueError`` where it refuses.

    ``is_other`` says of damaged content that it is another valid file, which no reader can know to be damaged.
    """

    name: str
    file: Path
    regions: Regions
    read: Callable[[], str]
    is_other: Callable[[bytes], bool] = lambda content: False


def mutate(content: bytes, places: list[range], draws: random.Random) -> tuple[str, bytes]:
    """One place of these damaged: in words, and the new content."""
    while True:
        at = draws.choice(draws.choices(places, [len(place) for place in places])[0])
        kind = draws.choice(("flip", "flip", "byte", "zeros", "insert", "cut"))
        damaged = bytearray(content)
        if kind == "flip":
            damaged[at] ^= 1 << draws.randrange(8)
        elif kind == "byte":
            damaged[at] = draws.randrange(256)
        elif kind == "zeros":
            damaged[at : at + 16] = bytes(len(damaged[at : at + 16]))
        elif kind == "insert":
            damaged[at:at] = draws.randbytes(draws.randint(1, 8))
        else:
            del damaged[at:]
        if damaged != content:
            return f"{kind} at byte {at}", bytes(damaged)


def torture(targets: list[Target], seed: int, count: int, table: Table) -> None:
    """``count`` mutations of every class of every target; equal seeds make equal ones."""
    for target in targets:
        content = target.file.read_bytes()
        wanted = _read_apart(target)
        assert wanted.startswith("gives "), f"{target.name}: undamaged, {wanted}"
        for kind, places in target.regions.items():
            row = f"{target.name}: {kind}"
            draws = random.Random(f"{seed} {row}")
            for number in range(count):
                words, damaged = mutate(content, places, draws)
                if target.is_other(damaged):
                    continue
                target.file.write_bytes(damaged)
                found = _read_apart(target)
                table.count(row, "mutations")
                if found == wanted:
                    table.count(row, "equal")
                elif found.startswith("refused"):
                    table.count(row, "refused")
                else:
                    found = "gives something else" if found.startswith("gives ") else found
                    table.fault(row, "wrong", f"seed {seed}, number {number}, {words}: {found}")
        target.file.write_bytes(content)


def _read_apart(target: Target) -> str:
    """What the reader does, in a process of its own: it may be killed, or take too much."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        signal.alarm(SECONDS)
        virtual = int(re.search(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024
        resource.setrlimit(resource.RLIMIT_AS, (virtual + BYTES,) * 2)
        try:
            outcome = f"gives {target.read()}"
        except ValueError as error:
            names = str(target.file) in str(error) or str(target.file.parent) in str(error)
            outcome = "refused" if names and "\n" not in str(error) else f"unclear: {type(error).__name__}: {error}"
        except BaseException as error:
            outcome = f"raises {type(error).__name__}: {error}"
        os.write(sender, outcome.encode("utf-8", "replace")[:1000])
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver, "rb") as stream:
        outcome = stream.read().decode("utf-8", "replace")
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return outcome or f"killed by {signal.Signals(-ended).name}"


def make_targets(folder: Path) -> list[Target]:
    """A file of every kind that the project writes and reads again, in ``folder``."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    write_got10k(folder / "data", "train", [8, 8])
    write_got10k(folder / "data", "val", [8])
    for frame in (folder / "data" / "train").rglob("00000003.jpg"):
        frame.write_bytes(jpeg(2, (320, 240)))  # too large for the pages of LMDB's tree
    return [*_checkpoints(folder), *_data(folder), *_results(folder)]


def _checkpoints(folder: Path) -> Iterator[Target]:
    experiment = load_experiment(write_experiment(folder / "toy.yaml"))
    model = build_model(experiment)
    # Numbers for which memory that nobody wrote to does not pass.
    optimizer = {"state": {0: {"exp_avg": torch.linspace(1, 2, 999)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    state = {"format": 1, "model": model.state_dict(), "optimizer": optimizer, "experiment": to_tree(experiment)}
    file = folder / "last.pth"
    save_checkpoint(file, state | {"step": 1, "epoch": 0, "seed": 7, "processes": 1})

    def resume() -> str:
        return digest(read_training_checkpoint(file))

    def test() -> str:
        load_file(model, file)
        return digest(to_tree(experiment_of_checkpoint(file)), model.state_dict())

    yield Target("checkpoint resumed", file, zip_regions(file), resume)
    yield Target("checkpoint tested", file, zip_regions(file), test)


def _data(folder: Path) -> Iterator[Target]:
    data, cache = folder / "data", folder / "cache"
    packed = folder / "packed"
    pack_dataset("got10k", ["full"], data, packed)
    close_store(packed.resolve())

    def read_sequences(root: Path) -> str:
        index = open_dataset("got10k", "full", root, cache)
        return digest([[one.name, one.boxes, one.visible, one.cover, list(map(str, one.frames))] for one in index])

    def read_packed() -> str:
        manifest = open_packed(packed.resolve()).manifest
        if manifest is None:  # as ``verify_packed`` reports
            raise ValueError(f"{packed}: packed by another program")
        for number in range(manifest.records):
            for problem in check_batch(packed.resolve(), number, None)[0]:
                raise ValueError(problem)
        frames = (frame.read_bytes() for one in open_dataset("got10k", "full", packed, cache) for frame in one.frames)
        return digest(read_sequences(packed), list(frames))

    yield Target("LMDB verified and read", packed / "data.mdb", lmdb_regions(packed / "data.mdb"), read_packed)

    read_sequences(data)
    [file] = (cache / "indices").glob("*.npz")
    yield Target("annotation index", file, zip_regions(file), partial(read_sequences, data))

    store = make_store(folder, settings())

    def read_crops() -> str:
        crops = open_store(folder, settings())
        # Opened here: one that was opened before maps a file that the reads of the annotation index have replaced.
        found = [crops.find(one.name, frame) for one in open_index(folder) for frame in range(len(one))]
        return digest([crops.decode(record, (0, 0, record.columns, record.rows)) for record in found])

    yield Target("crop store index", store / "crops.index", zip_regions(store / "crops.index"), read_crops)
    size = (store / "000.crops").stat().st_size
    yield Target("crop store records", store / "000.crops", {"records": [range(size)]}, read_crops)


def _results(folder: Path) -> Iterator[Target]:
    [sequence] = open_dataset("got10k", "official_val", folder / "data", folder / "cache")
    draws = np.random.default_rng(0)
    boxes = np.concatenate([sequence.boxes[:1], draws.normal(50, 30, (len(sequence) - 1, 4))])
    checkpoint = folder / "last.pth"

    def open_again() -> ResultsFolder:
        return open_results(folder / "out", "toy", "got10k_val", checkpoint, {"model": {"threshold": 0.5}}, "cpu")

    results = open_again()
    results.write(sequence, Track(boxes, *draws.random((3, len(boxes)))))

    def read_manifest() -> str:
        return digest(str(open_again().path), open_again().manifest()["checkpoint_sha256"])

    for suffix, columns, read in (
        ("", 4, lambda: digest(results.boxes(sequence))),
        ("_time", 1, lambda: digest(results.seconds(sequence))),
    ):
        file = results.path / f"{sequence.name}{suffix}.txt"
        whole = {"numbers": [range(file.stat().st_size)]}
        yield Target(f"results{suffix}", file, whole, read, partial(_are_rows, columns, len(sequence)))
    file = results.path / "manifest.json"
    yield Target("manifest", file, {"JSON": [range(file.stat().st_size)]}, read_manifest)


def _are_rows(columns: int, count: int, content: bytes) -> bool:
    """Whether it is that many whole lines of that many numbers."""
    rows = [line.split(b",") for line in content.removesuffix(b"\n").split(b"\n")]
    numbers = all(len(row) == columns and all(map(_NUMBER.fullmatch, row)) for row in rows)
    return numbers and len(rows) == count and content.endswith(b"\n")


def zip_regions(file: Path) -> Regions:
    """The bytes of a file of torch or numpy."""
    content = file.read_bytes()
    regions: Regions = {"local headers": [], "pickle": [], "numbers": [], "other entries": []}
    with zipfile.ZipFile(file) as archive:
        start, entries = archive.start_dir, archive.infolist()
    for entry in entries:
        name, extra = struct.unpack_from("<HH", content, entry.header_offset + 26)
        begin = entry.header_offset + 30 + name + extra
        kind = "numbers" if "/data/" in entry.filename or entry.filename.endswith(".npy") else "other entries"
        kind = "pickle" if entry.filename.endswith("data.pkl") else kind
        regions["local headers"].append(range(entry.header_offset, begin))
        regions[kind].append(range(begin, begin + entry.file_size))
    # The end record of zip64, which torch always writes, or else the plain one.
    end = max(content.rfind(b"PK\6\6"), start) if content.rfind(b"PK\6\6") > start else content.rfind(b"PK\5\6")
    regions = {kind: places for kind, places in regions.items() if places}
    return regions | {"directory": [range(start, end)], "end record": [range(end, len(content))]}


def lmdb_regions(file: Path) -> Regions:
    """The bytes of an LMDB by the flags of its pages; pages that are free look like what they were."""
    content = file.read_bytes()
    regions: Regions = {"meta pages": [], "tree pages": [], "headers of values": [], "values": []}
    start = 0
    while start < len(content):
        flags, lower, upper = struct.unpack_from("<HHH", content, start + 10)
        pages = 1
        if flags & 4:
            pages = lower | upper << 16
            regions["headers of values"].append(range(start, start + 16))
            regions["values"].append(range(start + 16, start + PAGE * pages))
        elif flags & 8:
            regions["meta pages"].append(range(start, start + 152))
        elif flags & 3:
            regions["tree pages"] += [range(start, start + lower), range(start + upper, start + PAGE)]
        start += PAGE * pages
    return regions
