"""What a run shows of itself: progress bar or sparse lines, log.jsonl, TensorBoard."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from lib.data.batch import Batch
from lib.runtime.files import utf8_name
from lib.runtime.logs import JsonLines, cut_json_lines
from lib.runtime.process import Process

logger = logging.getLogger(__name__)
# Damaged images that a summary names; each is logged as it occurs, but among much else.
MAX_REASONS = 5

Part = Literal["training", "validation"]


class Meter:
    """Named values of groups, until they are read: integers are counts and are summed, all others are averaged."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._groups = 0

    def add(self, values: Mapping[str, Tensor]) -> None:
        """One group's values: scalars and vectors, left on their device."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0) + (value.double() if value.is_floating_point() else value)
        self._groups += 1

    def read(self, process: Process) -> dict[str, Any]:
        """Mean (or count) by name over all groups of all processes since the last reading. Collective."""
        shares = process.gather((self._groups, {name: value.tolist() for name, value in self._sums.items()}))
        self._sums, self._groups = {}, 0
        groups = sum(count for count, _ in shares)
        total: dict[str, np.ndarray] = {}
        for _, sums in shares:
            for name, value in sums.items():
                total[name] = total.get(name, 0) + np.asarray(value)
        return {name: (value if value.dtype.kind == "i" else value / groups).tolist() for name, value in total.items()}


class Draws:
    """What the samples of batches say of the data, until it is read."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(("pairs", "redrawn", "damaged", "missed"), 0)
        self._reasons: list[str] = []

    def add(self, batch: Batch) -> None:
        """The samples of one group."""
        for name, more in (
            ("pairs", len(batch)),
            ("redrawn", len(batch.redrawn)),
            ("damaged", len(batch.damaged)),
            ("missed", batch.missed),
        ):
            self._counts[name] += more
        self._reasons = _first_few([*self._reasons, *batch.damaged])

    def read(self, process: Process) -> dict[str, Any]:
        """Sums over all processes since the last reading, as ``Progress`` writes them. Collective."""
        shares = process.gather((self._counts, self._reasons))
        self._counts, self._reasons = dict.fromkeys(self._counts, 0), []
        total = {name: sum(counts[name] for counts, _ in shares) for name in self._counts}
        views = 2 * total["pairs"]
        return {
            **total,
            "missed_share": total["missed"] / views if views else 0.0,
            "reasons": _first_few([reason for _, reasons in shares for reason in reasons]),
        }


class Progress:
    """Follows a run of ``steps`` and ``epochs`` from the finished ``step`` and ``epoch`` on; ``pairs`` are in a step.

    Records of what comes after, left by a run that was killed, are dropped.

    Lines of ``output/log.jsonl``: ``{"kind": "train", "step", "epoch", "lr": {group: float}, "loss", <terms>,
    <monitors>, "pairs_per_second"}`` every ``log_every`` steps, averaged since the last one, and ``{"kind":
    "validation", "step", "epoch", "loss", <terms>, <monitors>}``; TensorBoard holds the same. ``step`` counts finished
    steps, ``epoch`` is the one that the last belongs to, from 1. Only rank 0 shows and writes.

    After each epoch's training, after a validation and at a stop comes ``{"kind": "data", "of": "training" or
    "validation", "step", "epoch", "pairs", "redrawn", "damaged", "missed", "missed_share", "reasons"}``: of so many
    ``pairs``, those since the last such line, ``redrawn`` draws were given up, ``damaged`` of them for an image that
    cannot be read (``reasons`` names the first few), and ``missed`` views were not in the crop store (0 without one).
    So an epoch that was stopped has several lines; what a killed run had counted since its last line is lost.
    """

    def __init__(
        self,
        output: Path,
        process: Process,
        *,
        step: int,
        epoch: int,
        steps: int,
        epochs: int,
        pairs: int,
        log_every: int,
    ) -> None:
        self._process, self._steps, self._epochs = process, steps, epochs
        self._pairs, self._log_every = pairs, log_every
        self._training = Meter()
        self._seconds, self._counted_steps = 0.0, 0
        self._bar = tqdm(
            total=steps, initial=step, unit="step", dynamic_ncols=True, disable=None if process.is_main else True
        )
        self._file, self._board, self._names = None, None, ExitStack()
        if process.is_main:
            path = output / "log.jsonl"
            cut_json_lines(
                path,
                lambda line: line["step"] <= step and (_is_of_training(line) or line["epoch"] <= epoch),
            )
            self._file = JsonLines(path)
            (output / "tensorboard").mkdir(exist_ok=True)
            folder = self._names.enter_context(utf8_name(output / "tensorboard"))
            self._board = SummaryWriter(folder, purge_step=step + 1)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.close()
        if self._process.is_main:
            self._file.close()
            self._board.close()
            self._names.close()

    def trained(
        self, step: int, epoch: int, groups: list[Mapping[str, Tensor]], rates: dict[str, float], seconds: float
    ) -> None:
        """Takes the values of this process's groups in the step just finished. Collective."""
        for values in groups:
            self._training.add(values)
        self._seconds += seconds
        self._counted_steps += 1
        self._bar.update()
        if step % self._log_every and step != self._steps:
            return
        values = self._training.read(self._process)
        speed = self._pairs * self._counted_steps / self._seconds
        self._seconds, self._counted_steps = 0.0, 0
        self._write({"kind": "train", "step": step, "epoch": epoch, "lr": rates, **values, "pairs_per_second": speed})
        shown = {"loss": f"{values['loss']:.3f}", "IoU": f"{values['iou']:.3f}", "pairs/s": f"{speed:.1f}"}
        self._bar.set_postfix(shown, refresh=False)
        if self._bar.disable:
            left = tqdm.format_interval((self._steps - step) * self._pairs / speed)
            numbers = ", ".join(f"{name} {number}" for name, number in shown.items())
            logger.info("epoch %d/%d, step %d/%d: %s, %s left", epoch, self._epochs, step, self._steps, numbers, left)

    def validated(self, step: int, epoch: int, values: dict[str, Any]) -> None:
        """Takes what ``Meter.read`` says of the held-out pairs after ``epoch`` epochs."""
        self._write({"kind": "validation", "step": step, "epoch": epoch, **values})
        loss, iou = values["loss"], values["iou"]
        logger.info("epoch %d/%d, held-out pairs: loss %.3f, IoU %.3f", epoch, self._epochs, loss, iou)

    def drawn(self, part: Part, step: int, epoch: int, values: dict[str, Any]) -> None:
        """Takes what ``Draws.read`` says of a part of ``epoch``; without pairs there is nothing to say."""
        if not values["pairs"]:
            return
        self._write({"kind": "data", "of": part, "step": step, "epoch": epoch, **values})
        found = f"{values['redrawn']} draws given up, {values['damaged']} for damaged images"
        if values["reasons"]:
            found += f", such as: {'; '.join(values['reasons'])}"
        if values["missed"]:
            found += f"; {values['missed']} views ({values['missed_share']:.2%}) were not in the crop store"
        logger.info("epoch %d/%d, %d pairs of %s: %s", epoch, self._epochs, values["pairs"], part, found)

    def _write(self, record: dict[str, Any]) -> None:
        if self._process.is_main:
            self._file.write(record)
            prefix = f"{record['kind']}/{record['of']}" if "of" in record else record["kind"]
            for name, value in _scalars(prefix, record):
                self._board.add_scalar(name, value, record["step"])


def _scalars(prefix: str, record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in record.items():
        if isinstance(value, list):
            value = {str(index): item for index, item in enumerate(value)}
        if isinstance(value, Mapping):
            yield from _scalars(f"{prefix}/{name}", value)
        elif name != "step" and not isinstance(value, str):
            yield f"{prefix}/{name}", value


def _is_of_training(line: Mapping[str, Any]) -> bool:
    """Whether a record of the log is about steps done; validation is done again if its epoch was not ended."""
    return line["kind"] == "train" or line.get("of") == "training"


def _first_few(reasons: list[str]) -> list[str]:
    return list(dict.fromkeys(reasons))[:MAX_REASONS]
