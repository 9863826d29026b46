"""The work of a run: which sequence is next, and what became of each, agreed with other commands through the folder."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Literal, NamedTuple

from lib.data.types import Sequence
from lib.evaluation.attempt import Failure
from lib.evaluation.claims import Claim, Claims, Holder
from lib.evaluation.results import ResultsFolder, Track

# A sequence that this many commands have left unfinished, by dying, since this one began is not given to another.
MOST_DEATHS = 2

logger = logging.getLogger(__name__)


class SequenceStatus(NamedTuple):
    """What became of one sequence: tracked now, kept (finished before, or by another command meanwhile), failed for
    ``reason``, or elsewhere: in the hands of another command that ``reason`` names.

    ``traceback`` is of a failure whose reason does not say all.
    """

    name: str
    status: Literal["tracked", "kept", "failed", "elsewhere"]
    reason: str = ""
    traceback: str = ""


class WorkQueue:
    """The sequences of a run that are not finished, one at a time, each to one command alone.

    ``claims`` are in ``folder``, beside the results: that an NFS client makes a file in a folder is what lets it see
    the files that others have made there. A failure is kept as ``<sequence>.failed`` until the sequence is finished:
    commands that began before it take it as their own, later ones try again. ``statuses`` are of the sequences that
    are not in the hands of this command; ``settled_frames`` counts the frames of those that were ``open`` at first and
    got their final one.
    """

    def __init__(self, sequences: Iterable[Sequence], folder: ResultsFolder, claims: Claims) -> None:
        self._folder, self._claims = folder, claims
        self._began = claims.now()
        self._open: dict[str, Sequence] = {}
        self._held: dict[str, Claim] = {}
        self.statuses: dict[str, SequenceStatus] = {}
        self.settled_frames = 0
        for sequence in sequences:
            if folder.is_finished(sequence):
                self.statuses[sequence.name] = SequenceStatus(sequence.name, "kept")
            else:
                self._open[sequence.name] = sequence

    @property
    def open(self) -> list[Sequence]:
        """The sequences that neither have a status nor are in the hands of this command."""
        return list(self._open.values())

    def take(self) -> Sequence | None:
        """A sequence for this command to track. None if there is none now: those still open are then in the hands of
        others, and have that status until they are looked at again."""
        claimed = self._claims.names()
        for sequence in sorted(self._open.values(), key=lambda sequence: sequence.name in claimed):
            name = sequence.name
            claim = self._claims.take(name)
            if isinstance(claim, Holder):
                self.statuses[name] = SequenceStatus(name, "elsewhere", str(claim))
                continue
            status = self._decided(sequence, claim)
            del self._open[name]
            if status is None:
                self.statuses.pop(name, None)
                self._held[name] = claim
                return sequence
            self._claims.release(claim)
            self._conclude(sequence, status)
        return None

    def settle(self, sequence: Sequence, outcome: Track | Failure) -> SequenceStatus:
        """Keep what became of a sequence that was taken, and let go of it; ``ResultsError`` if the disk refuses."""
        name = sequence.name
        claim = self._held.pop(name)
        if not self._claims.holds(claim):
            status = SequenceStatus(name, "elsewhere", "another command has taken it over meanwhile")
            logger.warning("sequence %s: %s, so this result is dropped", name, status.reason)
            self._open[name] = sequence
        elif isinstance(outcome, Failure):
            status = SequenceStatus(name, "failed", outcome.reason, "" if outcome.explained else outcome.traceback)
            self._note(status, outcome.traceback)
        else:
            self._folder.write(sequence, outcome)
            self._folder.forget_failure(name)
            status = SequenceStatus(name, "tracked")
        self._claims.release(claim)
        self._conclude(sequence, status)
        return status

    @property
    def settled(self) -> int:
        """How many sequences have their final status."""
        return sum(status.status != "elsewhere" for status in self.statuses.values())

    def _conclude(self, sequence: Sequence, status: SequenceStatus) -> None:
        self.statuses[sequence.name] = status
        if status.status != "elsewhere":
            self.settled_frames += len(sequence)

    def _decided(self, sequence: Sequence, claim: Claim) -> SequenceStatus | None:
        """What became of a sequence in the hands of others, who have let go of it; None if it is to be tracked."""
        name = sequence.name
        if self._folder.is_finished(sequence):
            return SequenceStatus(name, "kept")
        failed = self._folder.failure(name)
        if failed and failed.moment > self._began:
            return SequenceStatus(name, "failed", failed.reason, failed.traceback)
        deaths = [found.holder for found in claim.left if found.holder.beat > self._began]
        if len(deaths) >= MOST_DEATHS:
            ended = "; ".join(f"process {holder.pid} on {holder.host}" for holder in deaths)
            status = SequenceStatus(name, "failed", f"{len(deaths)} commands died while they tracked it: {ended}")
            self._note(status, "the processes ended without a traceback")
            return status
        return None

    def _note(self, status: SequenceStatus, traceback: str) -> None:
        logger.error("sequence %s failed: %s", status.name, status.reason)
        self._folder.note_failure(status.name, status.reason, traceback, shown=status.traceback)
