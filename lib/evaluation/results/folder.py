"""Results of ours on disk: a folder for each checkpoint with its settings, with whole text files for each sequence."""

import hashlib
import json
import logging
import os
import platform
import re
import time
import unicodedata
from collections import abc
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import cv2
import numpy as np

from lib.data.datasets.record import clashing_names
from lib.data.files.texts import decode_text, parse_rows
from lib.data.types import Sequence
from lib.evaluation.benchmarks import find_benchmark
from lib.inference.engine import Failure, Track
from lib.runtime.escapes import printable_lines
from lib.runtime.files import file_sha256, write_text
from lib.runtime.json_text import parse_json
from lib.runtime.locks import only_writer

MANIFEST_FILE = "manifest.json"
LEGACY_INT = "legacy_int"
_CHECKPOINT_SUFFIXES = r"(?<=.)(\.(tar|pth|pt|ckpt|safetensors))+$"
_AGAIN = "track the sequence again"
_LONGEST_END = "_network_time.txt"  # of a file's name, after the sequence's

logger = logging.getLogger(__name__)


class NotedFailure(NamedTuple):
    """Why a sequence has no result, and the ``moment`` of the failure in seconds since 1970."""

    reason: str
    traceback: str
    moment: float


@dataclass(frozen=True)
class ResultsFolder:
    """The results of one checkpoint with one choice of settings on one benchmark; made by ``open_results``.

    ``<sequence>.txt`` holds a box a frame (x,y,w,h in pixels, the first as given), beside it ``_scores.txt``,
    ``_time.txt`` (seconds end to end) and ``_network_time.txt``. The box file is written last: where it is complete,
    the sequence is finished. ``failures.log`` keeps all tracebacks, ``<sequence>.failed`` the last failure of a
    sequence that is not finished yet. The process that writes a sequence holds the claim on it
    (``lib.evaluation.running.claims``). Reading raises ``ValueError`` with the file and the remedy, writing ``OSError``
    with the file when the disk refuses; the earlier file is then unchanged.
    """

    path: Path

    def manifest(self) -> dict[str, Any]:
        """The content of ``manifest.json``: where these results come from and how they were made."""
        return _read_manifest(self.path / MANIFEST_FILE)

    def refused(self, names: abc.Sequence[str]) -> dict[str, str]:
        """The names under which this disk cannot keep results, with the reason: they are too long, or would share a
        file on a disk that does not distinguish ``Car`` from ``car``."""
        most = os.pathconf(self.path, "PC_NAME_MAX") - len(_LONGEST_END)
        found = {
            name: f"its name has {length} bytes, too many for files of results on this disk; {most} are the most"
            for name in names
            if (length := len(os.fsencode(name))) > most
        }
        # Nothing writes a file of that name: if it is there, the disk ignores the case of names.
        if (self.path / MANIFEST_FILE.upper()).exists():
            folded = {name: unicodedata.normalize("NFC", name).casefold() for name in names}
            meeting = {key for pair in clashing_names(folded.values()) for key in pair}
            reason = "another sequence's results would have the same files on this disk, where A is a; rename it"
            found |= {name: reason for name, key in folded.items() if key in meeting}
        return found

    def checksum(self) -> str | None:
        """The checkpoint's "sha256 ...", None without one."""
        sha256 = self.manifest()["checkpoint_sha256"]
        return f"sha256 {sha256}" if sha256 else None

    def write(self, sequence: Sequence, track: Track) -> None:
        """Keep a tracked sequence."""
        assert track.boxes.shape == (len(sequence), 4), f"{track.boxes.shape} boxes for {len(sequence)} frames"
        columns = {"_scores": track.scores, "_time": track.seconds, "_network_time": track.network_seconds}
        for suffix, column in columns.items():
            write_text(self._file(sequence, suffix), _rows(column[:, None]))
        write_text(self._file(sequence), _rows(track.boxes))

    def boxes(self, sequence: Sequence) -> np.ndarray:
        """The sequence's boxes, float64 ``[N, 4]`` xywh in pixels; ``ValueError`` if they are missing, damaged, not N,
        or begin elsewhere than the sequence: such results are of other data under the same name."""
        boxes = self._read(sequence, "", 4)
        if not np.array_equal(boxes[0], sequence.boxes[0]):
            raise ValueError(f"{self._file(sequence)}: begins elsewhere than the sequence's first box; {_AGAIN}")
        return boxes

    def seconds(self, sequence: Sequence, network: bool = False) -> np.ndarray:
        """The seconds of each frame, float64 ``[N]``: end to end, or of the ``network`` alone; ``ValueError`` if they
        are missing, damaged or not N."""
        return self._read(sequence, "_network_time" if network else "_time", 1)[:, 0]

    def is_finished(self, sequence: Sequence, warn: bool = False) -> bool:
        """Whether the sequence has a complete box file; with ``warn``, the fault of a damaged one is logged."""
        if not self._file(sequence).exists():
            return False
        try:
            self.boxes(sequence)
        except ValueError as error:
            if warn:
                logger.warning("tracking %s again: %s", sequence.name, error)
            return False
        return True

    def write_legacy_int(self, sequence: Sequence) -> None:
        """Write the sequence's boxes once more, as ``legacy_int/<sequence>.txt``: truncated to integers, between tabs,
        as pytracking and OSTrack write them (``lib/test/evaluation/running.py``), for tools that read those.

        These score differently, and nothing here reads them. Raises ``ValueError`` as ``boxes``, and for a box that is
        not finite.
        """
        file = self.path / LEGACY_INT / f"{sequence.name}.txt"
        boxes = self.boxes(sequence)
        if not np.isfinite(boxes).all():
            frame = int(np.flatnonzero(~np.isfinite(boxes).all(axis=1))[0])
            raise ValueError(f"{file}: the box of frame {frame} is not finite, so it cannot be written as integers")
        write_text(file, "".join("\t".join(map(str, row)) + "\n" for row in boxes.astype(np.int64).tolist()))

    def note_failure(self, name: str, failure: Failure) -> None:
        """Append a failure to ``failures.log``, and keep it for ``failure``, with its traceback unless the reason
        explains it."""
        self.log_failure(name, failure.reason, failure.traceback)
        shown = "" if failure.explained else failure.traceback
        content = {"reason": failure.reason, "traceback": shown, "moment": time.time()}
        write_text(self._failed(name), json.dumps(content) + "\n")

    def log_failure(self, name: str, reason: str, traceback: str) -> None:
        """Append a failure to ``failures.log`` alone."""
        file = self.path / "failures.log"
        lines = [f"{_now()} {name}: {reason}", *traceback.splitlines(), ""]
        with only_writer(file, wait=True), file.open("a", encoding="utf-8") as stream:
            stream.write(printable_lines(lines) + "\n")

    def failure(self, name: str) -> NotedFailure | None:
        """The last failure of a sequence that is not finished since."""
        with suppress(OSError, ValueError, KeyError, TypeError):  # a damaged note is none: the sequence is tried again
            content = parse_json(self._failed(name).read_bytes())
            return NotedFailure(str(content["reason"]), str(content["traceback"]), float(content["moment"]))
        return None

    def forget_failure(self, name: str) -> None:
        """Forget the last failure of a sequence that is finished."""
        self._failed(name).unlink(missing_ok=True)

    def _read(self, sequence: Sequence, suffix: str, columns: int) -> np.ndarray:
        file = self._file(sequence, suffix)
        try:
            rows = parse_rows(decode_text(file.read_bytes(), file), columns, file, _AGAIN, ended=True)
        except OSError as error:
            raise ValueError(f"{file}: cannot be read ({error.strerror}); {_AGAIN}") from error
        if len(rows) != len(sequence):
            raise ValueError(f"{file}: {len(rows)} lines for {len(sequence)} frames; {_AGAIN}")
        return rows

    def _failed(self, name: str) -> Path:
        return self.path / f"{name}.failed"

    def _file(self, sequence: Sequence, suffix: str = "") -> Path:
        return self.path / f"{sequence.name}{suffix}.txt"


def open_results(
    output: Path,
    experiment: str,
    benchmark: str,
    checkpoint: Path | None,
    settings: dict[str, Any],
    device: str,
    label: str | None = None,
    overrides: dict[str, Any] | None = None,
    sweep: str = "",
    hardware: str = "",
    versions: Mapping[str, str | None] = MappingProxyType({}),
) -> ResultsFolder:
    """Make or reopen ``<output>/<experiment>/results/<benchmark>/<label>-<8 hex digits>/`` and note this run in it.

    The digits are of the checkpoint's content and the resolved ``settings``, so another checkpoint or other settings
    get another folder, and the same ones find the finished sequences. ``label`` is the checkpoint's name unless given.
    ``overrides`` are the settings that this benchmark changed (dotted key: value), for reports. Both are plain types
    for JSON. ``sweep`` names the sweep that this run belongs to; the manifest keeps every one, since their scores have
    been seen. ``hardware`` (the machine's kind unless given) and ``versions`` are of the network's device.
    Raises ``ValueError`` for a manifest that is damaged or of other settings, ``OSError`` where the checkpoint cannot
    be read or the folder not be used.
    """
    sha256 = file_sha256(checkpoint) if checkpoint else None
    label = label or (re.sub(_CHECKPOINT_SUFFIXES, "", checkpoint.name) if checkpoint else "no_checkpoint")
    deciding = json.dumps([sha256, settings], sort_keys=True, allow_nan=False)
    digits = hashlib.sha256(deciding.encode()).hexdigest()[:8]
    folder = output / experiment / "results" / benchmark / f"{label}-{digits}"
    file = folder / MANIFEST_FILE
    description = {
        "format": 1,
        "experiment": experiment,
        "benchmark": benchmark,
        "protocol": find_benchmark(benchmark).protocol,
        "label": label,
        "checkpoint_sha256": sha256,
        "settings": settings,
        "overrides": overrides or {},
    }
    source = json.loads(json.dumps(description, allow_nan=False))  # as it is read back: lists for tuples
    folder.mkdir(parents=True, exist_ok=True)
    with only_writer(file, wait=True):
        earlier = _read_manifest(file) if file.exists() else {}
        if earlier and any(earlier.get(key) != source[key] for key in ("checkpoint_sha256", "settings")):
            raise ValueError(f"{file}: is of another checkpoint or other settings; move its folder away and run again")
        run = {
            "started": _now(),
            "checkpoint": str(checkpoint) if checkpoint else None,
            "device": device,
            "hardware": hardware or platform.machine(),
            "versions": {
                "python": platform.python_version(),
                "numpy": np.__version__,
                "opencv": cv2.__version__,
                "tracking-lib": version("tracking-lib"),
                **versions,
            },
        }
        runs = [*earlier.get("runs", []), run]
        sweeps = list(dict.fromkeys([*earlier.get("sweeps", []), *filter(None, [sweep])]))
        write_text(file, json.dumps({**source, "sweeps": sweeps, "runs": runs}, indent=2, allow_nan=False) + "\n")
    return ResultsFolder(folder)


def sweep_warning(manifest: Mapping[str, Any]) -> str:
    """The warning for every report of results whose settings were swept on the test set itself; else ""."""
    sweeps = manifest.get("sweeps", [])
    if not sweeps or not find_benchmark(manifest["benchmark"]).test_set:
        return ""
    return f"settings chosen on the test set: swept {'; '.join(sweeps)}"


def _rows(values: np.ndarray) -> str:
    """Shortest decimals that read back as the same float64, commas between."""
    return "".join(",".join(repr(number) for number in row) + "\n" for row in values.astype(np.float64).tolist())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _read_manifest(file: Path) -> dict[str, Any]:
    try:
        manifest = parse_json(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: cannot be read ({error}); move its folder away and run again") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("runs"), list):
        raise ValueError(f"{file}: is not a manifest of results; move its folder away and run again")
    return manifest
