"""The training run: resumes from the newest checkpoint, trains and validates epoch by epoch, saves, stops."""

import logging
import math
import time
from collections import abc
from itertools import islice

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from lib.data.batch import Batch
from lib.data.loader import load_batches
from lib.data.pairs import DataConfig, Pairs
from lib.models.weights.adapters import FrozenWeights
from lib.runtime.checkpoint import CheckpointError
from lib.runtime.process import LostProcessError, Process
from lib.runtime.seeds import seed_network
from lib.runtime.stop import StopRequested, stop_signals
from lib.training.actor import Actor, running_statistics
from lib.training.checkpoints import Checkpoints
from lib.training.config import Run, TrainConfig
from lib.training.progress import Meter, Progress
from lib.training.replicas import Replicas
from lib.training.schedule import StepPlan
from lib.training.state import TrainingState

logger = logging.getLogger(__name__)
_UNREADABLE = 255  # above every signal's number
_BAD_GRADIENT, _BAD_LOSS = 1, 2


class NonFiniteError(ValueError):
    """A loss or gradient that is NaN or infinite; the message names the step and the samples."""


class Trainer:
    """Trains the model of ``actor`` and writes log, configuration and checkpoints to ``run.output``.

    Every process builds its own Trainer; only ``process`` differs. For ``frozen`` see ``TrainingState``. Raises
    ConfigError if batches, samples and the number of processes do not fit each other.
    """

    def __init__(
        self,
        actor: Actor,
        train_pairs: Pairs,
        val_pairs: Pairs | None,
        config: TrainConfig,
        data: DataConfig,
        run: Run,
        process: Process,
        frozen: FrozenWeights | None = None,
    ) -> None:
        self.config, self.data, self.process, self._run = config, data, process, run
        self.train_pairs, self.val_pairs = train_pairs, None if run.overfit else val_pairs
        self.plan = StepPlan(config, data, process.world)
        self.actor = actor.to(process.device)
        self.state = TrainingState(actor.model, config, frozen)
        self.checkpoints = Checkpoints(run.output / "checkpoints", run.experiment, config.keep, run.resolve)
        self._samples = Meter()  # of training, since the last report
        self._saved_at = time.monotonic()

    def run(self) -> int:
        """Trains to the last epoch and returns 0; or until SIGINT or SIGTERM: then it finishes the step, saves a
        checkpoint, from which an equal Trainer continues to the same bits, and returns the signal's number. Raises
        CheckpointError, NonFiniteError, and ValueError for a lack of the GPU's memory."""
        with stop_signals() as self._stop:
            self._restore()
            state = self.state
            if state.epoch == self.config.epochs:
                logger.info("%s: training is complete already, %d epochs", self._run.output, state.epoch)
                return 0
            if self.config.compile:  # of the forward pass alone; hooks and checkpoints see the model as it was
                self.actor.model.forward = torch.compile(self.actor.model.forward, dynamic=False)
            self._replicas = Replicas(self.actor, self.process)
            if self.process.is_main:
                self.checkpoints.folder.mkdir(parents=True, exist_ok=True)  # a fault here costs no epoch
            received = 0
            with Progress(self._run, self.process, self.config, self.plan, self.state) as progress:
                try:
                    self._train(progress)
                except StopRequested as stop:
                    self._save()
                    progress.sampled("training", self._samples)
                    logger.info(
                        "stopped at step %d of %d; run the same command to continue", state.step, self.plan.steps
                    )
                    (received,) = stop.args
                except torch.OutOfMemoryError as error:
                    raise ValueError(
                        f"{self.process.device}: no memory for {self.config.group_batch} pairs at once; set "
                        "train.precision=bf16 or a smaller train.group_batch"
                    ) from error
            self.process.agree(0)  # no process leaves before rank 0 has written
            return received

    def _train(self, progress: Progress) -> None:
        state = self.state
        batches = self._batches(self.train_pairs, self._group_numbers())
        while state.epoch < self.config.epochs:
            self.actor.train()
            while state.step < (state.epoch + 1) * self.plan.steps_per_epoch:
                start = time.perf_counter()
                values = self._train_step(self._take(batches, self.plan.local_groups))
                progress.trained(values, time.perf_counter() - start)
                if time.monotonic() - self._saved_at > 60 * self.config.checkpoint_minutes:
                    self._save()
            progress.sampled("training", self._samples)
            ended = state.epoch + 1
            if self.val_pairs is not None and (ended % self.config.validate_every == 0 or ended == self.config.epochs):
                self._validate(progress)
            state.epoch = ended
            self._save(epoch_ended=True)

    def _train_step(self, batches: list[Batch]) -> list[dict[str, Tensor]]:
        """One optimizer step on this process's groups; their logged values."""
        count, share = self._count_of_a_group(batches), 1 / len(batches)

        def weigh(loss: Tensor) -> Tensor:
            return self.state.scaler.scale(loss * share)

        values = []
        for group, batch in enumerate(batches):
            seed_network(self._run.seed, batch.numbers[0])
            last = group == len(batches) - 1
            with running_statistics(self.actor, update=self.process.is_main and group == 0):
                result = self._replicas.add_gradient(batch, self.state.epoch, count, weigh, last)
            values.append(result.values)
            self._samples.add(_counts(batch), batch.damaged)
        overflows = self._step_optimizer(batches, [each["loss"] for each in values])
        if self.state.scaler.is_enabled():
            values[0]["overflows"] = torch.tensor(overflows if self.process.is_main else 0)
        if self.state.average is not None:
            self.state.average.update(self.actor.model)
        self.state.step += 1
        return values

    def _step_optimizer(self, batches: list[Batch], losses: list[Tensor]) -> int:
        """Updates the weights by the accumulated gradient. Returns 1 instead if the gradient overflows, else 0."""
        optimizer, scaler = self.state.optimizer, self.state.scaler
        factor = self.plan.rate_factor(self.state.step)
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        can_overflow = scaler.is_enabled() and scaler.get_scale() > 1  # at scale 1 the gradient itself is at fault
        scaler.unscale_(optimizer)
        norm = clip_grad_norm_(self.actor.parameters(), self.config.clip_norm or math.inf)  # inf multiplies by 1
        finite = self._is_finite(batches, losses, norm, can_overflow)
        if finite:
            scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        return int(not finite)

    def _is_finite(self, batches: list[Batch], losses: list[Tensor], norm: Tensor, can_overflow: bool) -> bool:
        """Whether the step may be taken; False if the gradient's ``norm`` is not finite and it ``can_overflow``.

        Raises NonFiniteError in a process with a loss that is not finite, and LostProcessError in the others; where the
        gradient alone is not finite, NonFiniteError in all. Collective, and the one place in a step where the host
        waits for the device.
        """
        *finite, norm_is_finite = torch.stack([*losses, norm]).isfinite().tolist()
        fault = self.process.agree(_BAD_LOSS if not all(finite) else _BAD_GRADIENT if not norm_is_finite else 0)
        if not fault or (fault == _BAD_GRADIENT and can_overflow):
            return not fault
        if fault == _BAD_GRADIENT:
            sources = "; ".join(source for batch in batches for source in batch.sources)
            raise NonFiniteError(
                f"step {self.state.step}: gradient norm {norm.item()} though every loss is finite, in samples {sources}"
            )
        if all(finite):
            raise LostProcessError
        named = [
            f"loss {loss.item()} in samples {batch.numbers[0]} to {batch.numbers[-1]} ({'; '.join(batch.sources)})"
            for batch, loss, is_finite in zip(batches, losses, finite, strict=True)
            if not is_finite
        ]
        raise NonFiniteError(f"step {self.state.step}: {', '.join(named)}")

    @torch.no_grad()
    def _validate(self, progress: Progress) -> None:
        """Losses on validation pairs, in whole groups that the processes take in turn."""
        judged = self.actor
        if self.state.average is not None:
            judged = Actor(self.state.average.module, self.actor.objective, self.actor.precision)
        self._replicas.broadcast_buffers(judged)
        judged.eval()
        batches = self._batches(self.val_pairs, self.plan.validation_numbers(self.process.rank))
        losses, samples = Meter(), Meter()
        for _ in range(0, self.plan.validation_groups, self.process.world):  # as often in every process
            for batch in self._take(batches, 1):
                losses.add(judged(batch, self.state.epoch).values)
                samples.add(_counts(batch), batch.damaged)
        progress.validated(losses)
        progress.sampled("validation", samples)

    def _batches(self, pairs: Pairs, groups: abc.Iterable[range]) -> abc.Iterator[Batch]:
        return load_batches(pairs, groups, self.data.workers, pin_memory=self.process.device.type == "cuda")

    def _group_numbers(self) -> abc.Iterator[range]:
        """The sample numbers of this process's groups, from the next step to the end of the run."""
        for step in range(self.state.step, self.plan.steps):
            yield from self.plan.numbers(0 if self._run.overfit else step, self.process.rank)

    def _take(self, batches: abc.Iterator[Batch], groups: int) -> list[Batch]:
        """This process's next ``groups`` batches, fewer at their end. Collective.

        A run stops here: if any process has received a signal, all raise StopRequested. If one cannot read its samples,
        it raises the reason and the others LostProcessError, since they would wait for its gradients in vain.
        """
        taken, fault = [], None
        try:
            taken = list(islice(batches, groups))
        except ValueError as error:
            fault = error
        agreed = self.process.agree(_UNREADABLE if fault else self._stop.received)
        if fault is not None:
            raise fault
        if agreed == _UNREADABLE:
            raise LostProcessError
        if agreed:
            raise StopRequested(agreed)
        return [batch.to(self.process.device) for batch in taken]

    def _count_of_a_group(self, batches: list[Batch]) -> Tensor | None:
        """The objective's count in this step, over all processes, divided by the number of groups; None if the
        objective counts in each group. Collective."""
        if not self.actor.objective.counts_steps:
            return None
        grid = self.actor.model.search_grid
        own = sum(int(self.actor.objective.count(batch.search_box, grid)) for batch in batches)
        return torch.tensor(sum(self.process.gather(own)) / self.plan.groups, device=self.process.device)

    def _restore(self) -> None:
        """Resumes from the newest checkpoint of this run, or takes the weights of ``init_from``."""
        newest = None if self._run.overfit else self.checkpoints.newest()
        if newest is not None:
            path, content = newest
            self.state.resume(path, content)
            logger.info("resuming from %s, step %d of %d", path, self.state.step, self.plan.steps)
            if content["processes"] != self.process.world:
                logger.warning(
                    "this run had %d processes and now has %d: the result will be equal within rounding only",
                    *(content["processes"], self.process.world),
                )
        elif self.config.init_from is not None:
            self.state.start_from(self.config.init_from)
        steps = self.process.gather(self.state.step)
        if len(set(steps)) > 1:
            raise CheckpointError(
                f"{self.checkpoints.folder}: processes would go on from different steps {steps}; it must lie on a disk "
                "that all of them see"
            )

    def _save(self, epoch_ended: bool = False) -> None:
        if self.process.is_main:
            content = {**self.state.content(), "seed": self._run.seed, "processes": self.process.world}
            self.checkpoints.save(content, epoch_ended)
            self._saved_at = time.monotonic()


def _counts(batch: Batch) -> dict[str, int]:
    """The counts of ``Progress.sampled``."""
    return {
        "pairs": len(batch),
        "redrawn": len(batch.damaged) + len(batch.empty),
        "damaged": len(batch.damaged),
        "missed": batch.missed,
    }
