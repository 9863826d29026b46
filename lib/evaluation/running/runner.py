"""Runs trackers over the sequences of a benchmark, in one process or several. Commands on the same results share
the sequences; if a process dies, others take over the sequences that it was tracking."""

import faulthandler
import logging
import math
import multiprocessing
import os
import pickle
import signal
from collections import abc
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from functools import partial
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, sleep, time
from typing import NamedTuple, Protocol

import numpy as np

from lib.data.types import Sequence
from lib.evaluation.benchmarks import Readable
from lib.evaluation.results.folder import ResultsFolder
from lib.evaluation.running.claims import Claims, Death, find_holder, release_left
from lib.evaluation.running.progress import RunProgress
from lib.evaluation.running.summary import RunSummary, SequenceStatus
from lib.inference.engine import Failure, Outcome, Take, Track
from lib.runtime.launch import launch_apart
from lib.runtime.stop import Terminated, terminated_like_interrupted

LOOK_SECONDS = 1.0  # between two looks at the progress of other processes
MOST_DEATHS = 2  # since the run began; a sequence with so many is not tracked again

logger = logging.getLogger(__name__)


class SequenceEngine(Protocol):
    """Tracks sequences: ``lib.inference.engine.Engine``, or a baseline."""

    def run(self, take: Take, show: Callable[[int], None]) -> Iterator[Outcome]:
        """Track the sequences from ``take`` until it gives None; ``show`` gets the number of frames done in the
        sequences under way."""


class Trial(NamedTuple):
    """A tracker with the folder of its results.

    ``make_engine(most)`` builds the tracker for at most that many sequences at once, in each process that has something
    to track. In reports ``label`` is the name of its row, and ``source`` the file or folder of its weights, None for
    fresh ones.
    """

    make_engine: Callable[[int], SequenceEngine]
    folder: ResultsFolder
    label: str = ""
    source: Path | None = None


class RunReport(NamedTuple):
    """A summary for each trial of a run, the number of processes, and the seconds that the whole run took."""

    summaries: list[RunSummary]
    processes: int
    seconds: float

    def text(self) -> str:
        """A line with the speed of all processes together; empty if nothing was tracked."""
        frames = sum(len(summary.seconds) for summary in self.summaries if summary.seconds.any())
        speed = f"{frames / self.seconds:.1f} frames/s"
        return f"{self.processes} process(es) together, start included: {speed}" if frames else ""


class _Run(NamedTuple):
    """Shared by the processes of a run: what they track, its begin (seconds since 1970), and how many they are."""

    trials: abc.Sequence[Trial]
    sequences: abc.Sequence[Sequence]
    unreadable: Mapping[str, str]
    wait: bool
    began: float
    processes: int


class _Tracked(NamedTuple):
    """A sequence that a process of the run has tracked."""

    folder: Path
    name: str
    frames: int


def run_trials(readable: Readable, trials: abc.Sequence[Trial], processes: int = 1, wait: bool = False) -> RunReport:
    """Track every sequence that is not finished in a trial's folder, and write each there as soon as it is done.

    Several ``processes`` get the trials pickled; they log warnings alone. Commands that run at once on the same folder,
    on one machine or on many, share the sequences: one process tracks each. When none is left to take, this one returns
    and reports the sequences that other commands are tracking; with ``wait`` it waits for these. It also waits after a
    failure, because launchers (torchrun, ``srun -K``) stop all commands when one fails.

    A sequence that cannot be tracked is in the report, its traceback in the folder; the others go on. So is one whose
    results a folder cannot keep. Raises the errors of ``make_engine`` in this process, and ``OSError`` if results
    cannot be written. After Ctrl-C (``KeyboardInterrupt``) or SIGTERM (``Terminated``) the finished sequences are on
    disk, the others are free for any command, and no process is left.
    """
    started, began = perf_counter(), time()
    refused: dict[str, str] = {}
    for trial in trials:
        refused |= trial.folder.refused([sequence.name for sequence in readable.sequences])
    sequences = readable.sequences  # not a list: an index is pickled as the name of its file
    if refused:
        sequences = [sequence for sequence in sequences if sequence.name not in refused]
    unreadable = {**readable.unreadable, **refused}
    for trial in trials:
        for name, reason in unreadable.items():
            trial.folder.log_failure(name, reason, "the sequence cannot be tracked")
    unfinished = [it for trial in trials for it in sequences if not trial.folder.is_finished(it, warn=True)]
    total, frames = len(trials) * (len(sequences) + len(unreadable)), sum(map(len, unfinished))
    processes = max(1, min(processes, len(unfinished)))
    # The commands that torchrun or srun started together, this one included.
    commands = int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or 1)
    run = _Run(trials, sequences, unreadable, wait, began, processes * commands)
    tracked: list[_Tracked] = []
    with closing(RunProgress(frames, total, total - len(unfinished))) as progress:
        if processes == 1:
            _track(run, progress, tracked.append)
        else:
            _track_together(run, processes, progress, tracked)
        summaries = [_summarize(trial, run, tracked) for trial in trials]
    return RunReport(summaries, processes, perf_counter() - started)


def _track_together(run: _Run, processes: int, progress: RunProgress, tracked: list[_Tracked]) -> None:
    """``_track`` in several processes, which send what they have tracked."""
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def receive() -> None:
        while receiver.poll():
            tracked.append(receiver.recv())
            progress.settle(tracked[-1].frames)
        progress.show(0)

    with receiver, sender:
        # As bytes, which a process has read before it imports torch: only then is the next one started.
        code = launch_apart(processes, partial(_track_quietly, pickle.dumps(run), sender), receive)
        if code:
            raise KeyboardInterrupt if code == 128 + signal.SIGINT else Terminated
        receive()


def _track_quietly(run: bytes, sender: Connection) -> int:
    logging.getLogger("lib").setLevel(logging.WARNING)
    faulthandler.enable()
    with terminated_like_interrupted():
        _track(pickle.loads(run), RunProgress(0, 0, 0), sender.send)
    return 0


def _track(run: _Run, progress: RunProgress, note: Callable[[_Tracked], None]) -> None:
    """Track in this process until nothing is left to take, or with ``wait`` until no process has anything."""
    with ExitStack() as stack:
        taken = [(trial, stack.enter_context(Claims(trial.folder.path))) for trial in run.trials]
        shares = [_Share(trial, run, claims, progress, note) for trial, claims in taken]
        logged = False
        while True:
            for share in shares:
                share.track()
            open_ = [sequence.name for share in shares for sequence in share.open]
            if not open_ or not (run.wait or any(share.failed for share in shares)):
                return
            if not logged:
                logger.info("waiting for the sequences of other commands: %s", ", ".join(open_))
                logged = True
            sleep(LOOK_SECONDS)


class _Share:
    """One process's share of a trial: it claims sequences, the longest first, tracks them and keeps their results.

    ``open`` are the unfinished sequences that this process has not claimed. A sequence with which a process died is
    tracked alone, so that another death shows that this sequence is the cause.
    """

    def __init__(
        self, trial: Trial, run: _Run, claims: Claims, progress: RunProgress, note: Callable[[_Tracked], None]
    ) -> None:
        self._trial, self._folder, self._run, self._claims = trial, trial.folder, run, claims
        self._progress, self._note = progress, note
        unfinished = (sequence for sequence in run.sequences if not trial.folder.is_finished(sequence))
        self.open = sorted(unfinished, key=len, reverse=True)
        self.failed = bool(run.unreadable)
        self._running: list[Sequence] = []
        self._alone = False

    def track(self) -> None:
        """Track until there is nothing left to take."""
        engine = None
        while (first := self._take()) is not None:
            engine = engine or self._trial.make_engine(self._most())
            sequences = chain([first], iter(self._take, None))
            with closing(engine.run(partial(next, sequences, None), self._progress.show)) as outcomes:
                for sequence, outcome in outcomes:
                    self._settle(sequence, outcome)

    def _most(self) -> int:
        """The most sequences at once that leave the other processes of the run some."""
        shares = 2 * self._run.processes if self._run.processes > 1 else 1
        return -(-(len(self.open) + 1) // shares)

    def _take(self) -> Sequence | None:
        if self._running and self._alone:
            return None
        for sequence in list(self.open):
            taken = self._claims.take(sequence.name, self._run.began if self._running else math.inf)
            if taken is None:
                continue
            self.open.remove(sequence)
            deaths = [death for death in taken if death.claimed > self._run.began]
            if not self._is_decided(sequence, deaths):
                self._alone = bool(deaths)
                self._running.append(sequence)
                return sequence
            self._release(sequence)
        return None

    def _settle(self, sequence: Sequence, outcome: Track | Failure) -> None:
        if isinstance(outcome, Failure):
            self._fail(sequence, outcome)
        else:
            self._folder.write(sequence, outcome)
            self._folder.forget_failure(sequence.name)
            self._note(_Tracked(self._folder.path, sequence.name, len(sequence)))
        self._running.remove(sequence)
        self._release(sequence)

    def _release(self, sequence: Sequence) -> None:
        self._claims.release(sequence.name)
        self._progress.settle(len(sequence))

    def _is_decided(self, sequence: Sequence, deaths: list[Death]) -> bool:
        """Whether a sequence needs no tracking: another process has finished it, it failed since the run began, or too
        many processes died with it."""
        if self._folder.is_finished(sequence):
            return True
        noted = self._folder.failure(sequence.name)
        if noted and noted.moment > self._run.began:
            self.failed = True
            return True
        if len(deaths) < MOST_DEATHS:
            return False
        ended = "; ".join(death.process for death in deaths)
        reason = f"{len(deaths)} processes died while they tracked it: {ended}"
        self._fail(sequence, Failure(reason, "the processes ended without a traceback", explained=True))
        return True

    def _fail(self, sequence: Sequence, failure: Failure) -> None:
        logger.error("sequence %s failed: %s", sequence.name, failure.reason)
        self._folder.note_failure(sequence.name, failure)
        self.failed = True


def _summarize(trial: Trial, run: _Run, all_tracked: abc.Sequence[_Tracked]) -> RunSummary:
    folder, statuses, tracked = trial.folder, [], []
    noted = {each.name for each in all_tracked if each.folder == folder.path}
    for sequence in run.sequences:
        if not folder.is_finished(sequence):
            statuses.append(_status(folder, sequence.name, run.began))
        elif sequence.name in noted:
            tracked.append(sequence)
            statuses.append(SequenceStatus(sequence.name, "tracked"))
        else:
            # A process that was killed right after it had written the result left these.
            folder.forget_failure(sequence.name)
            release_left(folder.path, sequence.name)
            statuses.append(SequenceStatus(sequence.name, "kept"))
    statuses += [SequenceStatus(name, "failed", reason) for name, reason in run.unreadable.items()]
    seconds = [np.zeros(0), *(folder.seconds(sequence)[1:] for sequence in tracked)]
    network_seconds = [np.zeros(0), *(folder.seconds(sequence, network=True)[1:] for sequence in tracked)]
    return RunSummary(statuses, np.concatenate(seconds), np.concatenate(network_seconds))


def _status(folder: ResultsFolder, name: str, began: float) -> SequenceStatus:
    holder, noted = find_holder(folder.path, name), folder.failure(name)
    if holder:
        return SequenceStatus(name, "elsewhere", holder)
    if noted and noted.moment > began:
        return SequenceStatus(name, "failed", noted.reason, noted.traceback)
    return SequenceStatus(name, "failed", "no process is left to track it; run the same command again")
