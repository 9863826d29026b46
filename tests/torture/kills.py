"""Programs that are killed again and again at drawn moments, gone on with by the same command, and compared with a run
that nothing disturbed."""

import os
import random
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals
from typing import NamedTuple
from uuid import uuid4

from miniatures import jpeg, moving_boxes, write_boxes, write_got10k
from torture.content import snapshot
from torture.table import Table
from toy_experiment import write_experiment
from video_files import encode

from lib.experiment.build import build_model
from lib.experiment.config import load_experiment, to_tree
from lib.runtime.checkpoint import save_checkpoint

ROOT = Path(__file__).parents[2]
HEADS = ("kills", "resumed equal", "unequal", "lost", "processes", "files", "claims", "exit codes", "tracebacks")
# Seconds: for a program to end, beside twice those of an undisturbed run; for its processes to be gone then; and in
# which kills fall after its first change of a file. What a run had done when it was killed is kept, so the next kill
# falls further on.
TO_END, TO_BE_GONE, WINDOW = 120.0, 10.0, 4.0
KILLS_OF_A_RUN = 6
# Who is killed, by which signals, and how the program may end then (or by 0, if it was ending, or does without).
VICTIMS = {
    "change": {SIGKILL: (-9,)},  # the program itself, right before it changes a file (hook/sitecustomize.py)
    "main": {SIGKILL: (-9,), SIGTERM: (143, -15)},  # itself, as by the kernel or by a scheduler
    "group": {SIGINT: (130, -2)},  # all processes of its group, as by Ctrl-C
    "child": {SIGKILL: (1,)},  # one of the processes that it started
}
# Python starts it anew, and the kernel does not choose a process that takes so little.
SPARED = b"resource_tracker"
FORKED_WITHOUT_EXEC = 0x40  # PF_FORKNOEXEC of the kernel, in /proc/PID/stat


class Job(NamedTuple):
    """A program with its arguments, and which of ``VICTIMS`` are killed. A run of it writes to ``{place}``."""

    name: str
    words: str
    victims: tuple[str, ...]


ALONE, CHILDREN = ("change", "main", "group"), ("main", "group", "child", "child")
TRAIN = "train.py --config {sources}/toy.yaml data.samples_per_epoch=600 train.checkpoint_minutes=0.02"
# In batches of one, since boxes of larger ones depend on which sequences meet in a batch.
TEST = "test.py --checkpoint {sources}/toy.pth --dataset got10k_val --batch 1"
SYNTHETIC = "prepare_data.py synthetic --root {place}/set --train 40 --val 4 --frames 24 --val-frames 24 --processes 2"
CROPS = "prepare_data.py crops got10k --config {sources}/toy.yaml --out {place}/crops --processes 2"
CHECK = "prepare_data.py check own --root {sources}/got10k/train --processes 2 --json {place}/found.json"
PACK = "prepare_data.py pack got10k --root {sources}/large --split full --out {place}/packed --verify"
JOBS = (
    Job("train", TRAIN, ALONE),
    Job("train, workers", f"{TRAIN} data.workers=2", CHILDREN),
    Job("train, 2 processes", f"{TRAIN} --nproc 2 data.workers=1", CHILDREN),
    Job("test", TEST, ALONE),
    Job("test, 2 processes", f"{TEST} --processes 2", CHILDREN),
    Job("pack", PACK, (*ALONE, "child")),
    Job("crops", CROPS, ALONE),
    Job("video", "prepare_data.py check own --processes 1 --json {place}/found.json", ALONE),
    Job("check", CHECK, ALONE[1:]),
    Job("synthetic", SYNTHETIC, ("change", *CHILDREN)),
    Job("export", "export_model.py --checkpoint {sources}/toy.pth --format onnx --out {place}/exported", ALONE),
)


def write_sources(folder: Path) -> Path:
    """The data, the experiment and the checkpoint that all jobs read."""
    write_got10k(folder / "got10k", "train", [60] * 60)
    write_got10k(folder / "got10k", "val", [40] * 24)
    # Images that fill several batches of a pack; what follows a JPEG's end is no part of the picture.
    write_got10k(folder / "large", "train", [20] * 3)
    (folder / "large.jpg").write_bytes(jpeg(0) + random.Random(0).randbytes(4 * 2**20))
    for frame in (folder / "large").rglob("*.jpg"):
        frame.unlink()
        frame.hardlink_to(folder / "large.jpg")
    write_boxes(folder / "own" / "car.txt", moving_boxes(400))
    encode(folder / "own" / "car.avi", (jpeg(number, (320, 240)) for number in range(400)))
    (folder / "paths.yaml").touch()
    experiment = load_experiment(write_experiment(folder / "toy.yaml", train={"epochs": 3}))
    content = {"model": build_model(experiment).state_dict(), "experiment": to_tree(experiment)}
    save_checkpoint(folder / "toy.pth", content)
    return folder


class Kill(NamedTuple):
    """Who is killed by which signal after ``moment`` seconds, or before the change of that number; ``share`` picks one
    of the processes that may be meant."""

    victim: str
    signal: Signals
    moment: float
    share: float = 0.0

    def __str__(self) -> str:
        at = f"before change {self.moment}" if self.victim == "change" else f"after {self.moment:.2f} s"
        return f"{self.signal.name} to {self.victim} {at}"


class Reference(NamedTuple):
    """A run that nothing disturbed: what it left, its seconds up to the first change and in all, its changes."""

    content: dict[str, str]
    first: float
    seconds: float
    changes: int

    def draw(self, job: Job, draws: random.Random) -> Kill:
        """A kill of another run."""
        victim, early = draws.choice(job.victims), draws.random() < 0.15
        signal = draws.choice(list(VICTIMS[victim]))
        if victim == "change":
            return Kill(victim, signal, draws.randint(1, self.changes))
        latest = min(self.seconds, self.first + WINDOW)
        moment = draws.uniform(0, self.first) if early else draws.uniform(self.first, latest)
        return Kill(victim, signal, moment, draws.random())


class Torture:
    """Kills jobs in ``folder`` and counts in ``table`` what comes of it; equal seeds draw equal kills. The jobs read
    what ``write_sources`` wrote."""

    def __init__(self, folder: Path, sources: Path, seed: int) -> None:
        self.folder, self.sources, self.seed, self.table = folder, sources, seed, Table(HEADS)

    def run(self, job: Job, kills: int, first: int = 0) -> None:
        """Runs number ``first``, ``first + 1`` ... of a job, until so many kills have struck."""
        reference = self._undisturbed(job)
        number, struck = first, 0
        while struck < kills and number < first + 2 * kills + 4:  # a kill may come too late for a run
            struck += self._kill_a_run(job, number, min(KILLS_OF_A_RUN, kills - struck), reference)
            number += 1

    def _undisturbed(self, job: Job) -> Reference:
        place = self._place()
        first, start = 0.0, time.monotonic()
        with self._start(job, place, Kill("change", SIGKILL, 0)) as process:
            while process.poll() is None:
                if not first and len(list(place.iterdir())) > 1:
                    first = time.monotonic() - start
                time.sleep(0.02)
        seconds = time.monotonic() - start
        assert process.returncode == 0, f"{job.name}, undisturbed: {_log(place)}"
        return Reference(snapshot(place), first or seconds, seconds, int(Path(f"{place}.changes").read_text()))

    def _kill_a_run(self, job: Job, number: int, kills: int, reference: Reference) -> int:
        """Kill it, start it again and so on; the number of kills."""
        draws = random.Random(f"{self.seed} {job.name} {number}")
        place = self._place()
        where = f"--seed {self.seed} --only '{job.name}' --run {number}"
        code, struck, limit = 1, list[Kill](), TO_END + 2 * reference.seconds
        while code != 0 and len(struck) < kills:
            kill = reference.draw(job, draws)
            code, hit = self._run(job, place, kill, f"{where}, kill {len(struck) + 1} ({kill})", limit)
            struck += [kill] * hit
            self.table.count(job.name, "kills", hit)
            if code != 0 and not hit:
                break
        if code != 0:
            code, _ = self._run(job, place, None, where, limit)
        if code != 0:
            last = (_log(place).strip().splitlines() or [""])[-1]
            self.table.fault(job.name, "lost", f"{where}: the same command does not go on: {last}")
        else:
            where += f" ({'; '.join(map(str, struck))})"
            equal = self._compare(job, snapshot(place), reference.content, where)
            self.table.count(job.name, "resumed equal", len(struck) * equal)
        shutil.rmtree(place)
        return len(struck)

    def _compare(self, job: Job, found: dict[str, str], wanted: dict[str, str], where: str) -> bool:
        extra = found.keys() - wanted.keys()
        for name in sorted(name for name in extra if str(Path(name).parent) not in extra):
            self.table.fault(job.name, "claims" if name.endswith(".claim") else "files", f"{where} left {name}")
        differing = [name for name in wanted if found.get(name) != wanted[name]]
        if differing:
            self.table.fault(job.name, "unequal", f"{where}: missing or different: {', '.join(differing[:5])}")
        return not differing

    def _run(self, job: Job, place: Path, kill: Kill | None, where: str, limit: float) -> tuple[int, bool]:
        """The exit code, and whether the kill struck."""
        process, struck = self._start(job, place, kill), False
        if kill and kill.victim != "change":
            try:
                process.wait(kill.moment)
            except subprocess.TimeoutExpired:
                struck = self._strike(process, place, kill)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
            self.table.fault(job.name, "lost", f"{where}: has not ended after {limit:.0f} s")
        if kill and kill.victim == "change":
            struck = code == -SIGKILL
        if kill and struck and code not in (None, 0, *VICTIMS[kill.victim][kill.signal]):
            self.table.fault(job.name, "exit codes", f"{where}: exit code {code}")
        if "Traceback (most recent call last)" in _log(place):
            self.table.fault(job.name, "tracebacks", f"{where}: {_log(place).strip().splitlines()[-1][:200]}")
        self._reap(job, place, where)
        return process.wait(), struck

    def _reap(self, job: Job, place: Path, where: str) -> None:
        """Wait until no process of a run is left; the ones that stay are a fault, and are killed."""
        until = time.monotonic() + TO_BE_GONE
        while (left := _processes(place)) and time.monotonic() < until:
            time.sleep(0.05)
        if left:
            kinds = sorted({line.replace(b"\0", b" ").decode(errors="replace")[-80:] for line in left.values()})
            self.table.fault(job.name, "processes", f"{where}: {len(left)} after {TO_BE_GONE:.0f} s: {kinds}")
        while left := _processes(place):
            for number in left:
                with suppress(ProcessLookupError):
                    os.kill(number, SIGKILL)
            time.sleep(0.05)

    def _start(self, job: Job, place: Path, kill: Kill | None) -> subprocess.Popen[bytes]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TRACKING_", "PYTEST_"))}
        own = {
            "TRACKING_PATHS": self.sources / "paths.yaml",
            "TRACKING_DATA_GOT10K": self.sources / "got10k",
            "TRACKING_DATA_OWN": self.sources / "own",
            "TRACKING_OUTPUT": place / "output",
            "TRACKING_CACHE": place / "cache",
            "TMPDIR": place / "tmp",
            "TORTURE_PLACE": place,
            "TORTURE_CHANGE": int(kill.moment) if kill and kill.victim == "change" else "",
            "OMP_NUM_THREADS": 1,
            "PYTHONPATH": f"{Path(__file__).parent / 'hook'}:{ROOT}",
        }
        program, *words = (word.format(sources=self.sources, place=place) for word in job.words.split())
        with open(f"{place}.log", "wb") as log:
            return subprocess.Popen(
                [sys.executable, str(ROOT / "tracking" / program), *words],
                env=kept | {name: str(value) for name, value in own.items()},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _strike(self, process: subprocess.Popen[bytes], place: Path, kill: Kill) -> bool:
        """Whether there was a process to kill; the first child is waited for."""
        chosen = [process.pid]
        if kill.victim == "child":
            chosen = []
            while not chosen and process.poll() is None:
                others = _processes(place).items()
                chosen = sorted(n for n, line in others if n != process.pid and not _is_spared(n, line))
                time.sleep(0.02)
            chosen = chosen[int(kill.share * len(chosen)) :][:1]
        for number in chosen:
            with suppress(ProcessLookupError):
                (os.killpg if kill.victim == "group" else os.kill)(number, kill.signal)
        return bool(chosen)

    def _place(self) -> Path:
        """The folder of a run; its name marks the environment of all the run's processes."""
        # Short: the name of a socket, which processes make in their folder of temporary files, has 107 bytes at most.
        place = self.folder / uuid4().hex[:12]
        (place / "tmp").mkdir(parents=True)
        return place


def _is_spared(number: int, line: bytes) -> bool:
    """Whether it is Python's resource tracker, or may become it: a process that has not begun its program yet shows its
    parent's command line. Those of a fork server never begin another."""
    if b"forkserver" in line:
        return False
    try:
        flags = int(Path("/proc", str(number), "stat").read_text().rpartition(")")[2].split()[6])
    except OSError:  # it has ended
        return True
    return SPARED in line or bool(flags & FORKED_WITHOUT_EXEC)


def _log(place: Path) -> str:
    return Path(f"{place}.log").read_text(errors="replace")


def _processes(place: Path) -> dict[int, bytes]:
    """The living processes of a run, found by their environment, with their command lines."""
    mark, found = f"TORTURE_PLACE={place}\0".encode(), {}
    for folder in Path("/proc").iterdir():
        with suppress(OSError):  # it ended meanwhile, or is another user's
            if folder.name.isdigit() and mark in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().rstrip(b"\0")
    return found
