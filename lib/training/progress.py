"""Reports of a run: progress bar or log lines, log.jsonl, TensorBoard, config.yaml."""

import logging
from collections import abc
from contextlib import ExitStack
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from lib.config.yaml12 import to_yaml
from lib.runtime.files import utf8_name, write_text
from lib.runtime.logs import append_json_line, cut_json_lines
from lib.runtime.process import Process
from lib.training.config import Run, TrainConfig
from lib.training.optimizer import named_rates
from lib.training.schedule import StepPlan
from lib.training.state import TrainingState

logger = logging.getLogger(__name__)
# Damaged images that a summary names; each is logged as it occurs, but among much else.
MAX_REASONS = 5


class Meter:
    """Accumulates named values of groups until they are read: sums integers, which are counts, and averages floats.

    It also keeps the first few reasons that groups give, each once.
    """

    def __init__(self) -> None:
        self._groups, self._sums, self._reasons = 0, {}, []

    def add(self, values: abc.Mapping[str, Tensor | int], reasons: abc.Iterable[str] = ()) -> None:
        """Adds one group's values: scalars and vectors, left on their device."""
        for name, value in values.items():
            value = torch.as_tensor(value)
            self._sums[name] = self._sums.get(name, 0) + (value.double() if value.is_floating_point() else value)
        self._groups += 1
        self._reasons = _first_few([*self._reasons, *reasons])

    def read(self, process: Process) -> tuple[dict[str, Any], list[str]]:
        """Mean (or count) by name over all groups of all processes since the last read, and the reasons. Collective."""
        sums = {name: value.tolist() for name, value in self._sums.items()}
        shares = process.gather((self._groups, sums, self._reasons))
        self._groups, self._sums, self._reasons = 0, {}, []
        groups = sum(count for count, _, _ in shares)
        total: dict[str, np.ndarray] = {}
        for _, sums, _ in shares:
            for name, value in sums.items():
                total[name] = total.get(name, 0) + np.asarray(value)
        values = {
            name: (value if value.dtype.kind == "i" else value / groups).tolist() for name, value in total.items()
        }
        return values, _first_few([reason for _, _, reasons in shares for reason in reasons])


class Progress(ExitStack):
    """Reports a run from the finished step and epoch of ``state`` on. Only rank 0 shows and writes.

    Records of later steps, left by a run that was killed, are dropped.

    Lines of ``log.jsonl``: ``{"kind": "train", "step", "epoch", "lr": {group: float}, "loss", <terms>, <monitors>,
    "pairs_per_second"}`` every ``log_every`` steps, averaged since the last one, and ``{"kind": "validation", "step",
    "epoch", "loss", <terms>, <monitors>}``; TensorBoard holds the same. ``step`` counts finished steps; ``epoch``, from
    1, is the one that the last of them belongs to.

    After each epoch's training, after a validation and at a stop comes ``{"kind": "data", "of": "training" or
    "validation", "step", "epoch", "pairs", "redrawn", "damaged", "missed", "missed_share", "reasons"}``: among
    ``pairs`` samples since the last such line, ``redrawn`` draws were discarded, ``damaged`` of them for an image that
    cannot be read (``reasons`` has the first few messages), and ``missed`` crops were not in the crop store. A stopped
    epoch has several lines; counts since the last line are lost when a run is killed.
    """

    def __init__(self, run: Run, process: Process, config: TrainConfig, plan: StepPlan, state: TrainingState) -> None:
        super().__init__()
        self._config, self._steps, self._state = config, plan.steps, state
        self._meter = Meter()
        self._process = process
        self._seconds, self._counted_steps = 0.0, 0
        off = None if process.is_main else True  # None: off without a terminal
        self._bar = tqdm(total=plan.steps, initial=state.step, unit="step", dynamic_ncols=True, disable=off)
        self.callback(self._bar.close)
        if not process.is_main:
            return
        _announce(config, plan, state, process)
        write_text(run.output / "config.yaml", to_yaml(run.experiment))
        self._log = run.output / "log.jsonl"

        def is_earlier(line: abc.Mapping[str, Any]) -> bool:
            # Validation is done again if its epoch had not ended.
            of_training = line["kind"] == "train" or line.get("of") == "training"
            return line["step"] <= state.step and (of_training or line["epoch"] <= state.epoch)

        cut_json_lines(self._log, is_earlier)
        (run.output / "tensorboard").mkdir(exist_ok=True)
        folder = self.enter_context(utf8_name(run.output / "tensorboard"))
        self._board = self.enter_context(SummaryWriter(folder, purge_step=state.step + 1))

    def trained(self, groups: list[abc.Mapping[str, Tensor]], seconds: float) -> None:
        """Takes the values of this process's groups in the step just finished, which took ``seconds``. Collective."""
        for values in groups:
            self._meter.add(values)
        self._seconds += seconds
        self._counted_steps += 1
        self._bar.update()
        step = self._state.step
        if step % self._config.log_every and step != self._steps:
            return
        values, _ = self._meter.read(self._process)
        pairs = self._config.global_batch
        speed = pairs * self._counted_steps / self._seconds
        self._seconds, self._counted_steps = 0.0, 0
        rates = named_rates(self._state.optimizer, "lr")
        self._write({"kind": "train"}, {"lr": rates, **values, "pairs_per_second": speed})
        shown = {"loss": f"{values['loss']:.3f}", "IoU": f"{values['iou']:.3f}", "pairs/s": f"{speed:.1f}"}
        self._bar.set_postfix(shown, refresh=False)
        if self._bar.disable:
            left = tqdm.format_interval((self._steps - step) * pairs / speed)
            numbers = ", ".join(f"{name} {number}" for name, number in shown.items())
            logger.info("%s, step %d/%d: %s, %s left", self._epoch, step, self._steps, numbers, left)

    def validated(self, losses: Meter) -> None:
        """Takes the values of all groups of validation pairs. Collective."""
        values, _ = losses.read(self._process)
        self._write({"kind": "validation"}, values)
        logger.info("%s, held-out pairs: loss %.3f, IoU %.3f", self._epoch, values["loss"], values["iou"])

    def sampled(self, part: Literal["training", "validation"], samples: Meter) -> None:
        """Takes the counts ``pairs``, ``redrawn``, ``damaged`` and ``missed`` of the samples of one part, and the
        reasons for damaged ones. Collective. Without pairs nothing is reported."""
        counts, reasons = samples.read(self._process)
        if not counts.get("pairs"):
            return
        share = counts["missed"] / (2 * counts["pairs"])
        self._write({"kind": "data", "of": part}, {**counts, "missed_share": share, "reasons": reasons})
        found = f"{counts['redrawn']} draws given up, {counts['damaged']} for damaged images"
        if reasons:
            found += f", such as: {'; '.join(reasons)}"
        if counts["missed"]:
            found += f"; {counts['missed']} views ({share:.2%}) were not in the crop store"
        logger.info("%s, %d pairs of %s: %s", self._epoch, counts["pairs"], part, found)

    @property
    def _epoch(self) -> str:
        return f"epoch {self._state.epoch + 1}/{self._config.epochs}"

    def _write(self, kind: dict[str, str], values: dict[str, Any]) -> None:
        if self._process.is_main:
            numbers = {"epoch": self._state.epoch + 1, **values}
            append_json_line(self._log, {**kind, "step": self._state.step, **numbers})
            for name, value in _scalars("/".join(kind.values()), numbers):
                self._board.add_scalar(name, value, self._state.step)


def _announce(config: TrainConfig, plan: StepPlan, state: TrainingState, process: Process) -> None:
    logger.info("%d epochs of %d steps, %d steps in all", config.epochs, plan.steps_per_epoch, plan.steps)
    logger.info(
        "global batch %d in %d groups of %d; processes: %d, groups that each takes a step (accumulation): %d",
        *(plan.global_batch, plan.groups, plan.group_batch, plan.processes, plan.local_groups),
    )
    rates = ", ".join(f"{name} {rate:g}" for name, rate in named_rates(state.optimizer, "base_lr").items())
    logger.info("lr: %s; %s on %s", rates, config.precision, process.device)
    sizes = [(parameter.requires_grad, parameter.numel()) for parameter in state.model.parameters()]
    if frozen := [size for trained, size in sizes if not trained]:
        logger.info(
            "frozen: %d of %d parameter tensors, %.1f of %.1f million numbers",
            *(len(frozen), len(sizes), sum(frozen) / 1e6, sum(size for _, size in sizes) / 1e6),
        )
    if plan.left_over:
        logger.info("data.samples_per_epoch is %d more than whole steps; an epoch is shorter by that", plan.left_over)


def _scalars(prefix: str, record: abc.Mapping[str, Any]) -> abc.Iterator[tuple[str, float]]:
    for name, value in record.items():
        if isinstance(value, list):
            value = {str(index): item for index, item in enumerate(value)}
        if isinstance(value, abc.Mapping):
            yield from _scalars(f"{prefix}/{name}", value)
        elif not isinstance(value, str):
            yield f"{prefix}/{name}", value


def _first_few(reasons: list[str]) -> list[str]:
    return list(dict.fromkeys(reasons))[:MAX_REASONS]
