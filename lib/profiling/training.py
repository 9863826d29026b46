"""Time of a training step in each precision, and the memory that it keeps for the backward pass."""

import statistics
from collections import abc
from time import perf_counter, process_time
from typing import get_args

import torch
from torch import Tensor, nn

from lib.data.batch import Batch
from lib.experiment.build import build_actor, build_model
from lib.experiment.config import ExperimentConfig
from lib.inference.settings import Precision
from lib.profiling.report import MeasuredRow
from lib.runtime.seeds import seed_network
from lib.training.actor import Actor

STEPS, WARM_UP = 5, 2


def time_training(experiment: ExperimentConfig, pairs: int, device: torch.device) -> list[MeasuredRow]:
    """Forward and backward pass of the actor on a group of ``pairs``, without the optimizer: a row for each precision.

    Precisions take turns; the schedules inside the network are at their ends. Milliseconds are for one pair,
    ``processor`` in all threads of the process. ``kept``: MiB that the forward pass keeps for the backward pass beside
    the weights. ``peak``: MiB of the GPU that a step takes at most beside the tensors there before, None on a CPU.
    """
    batch = make_group(experiment, pairs).to(device)
    model = build_model(experiment).to(device).train()
    actors: dict[str, Actor] = {}
    for precision in get_args(Precision):
        if precision == "fp16" and device.type == "cpu":
            continue  # a CPU has no fast fp16 product
        training = experiment.train.model_copy(update={"precision": precision})
        actors[precision] = build_actor(experiment.model_copy(update={"train": training}), model)
    seconds: dict[str, list[tuple[float, float]]] = {precision: [] for precision in actors}
    peaks: dict[str, float | None] = {}
    for _ in range(WARM_UP + STEPS):
        for precision, actor in actors.items():
            elapsed, peaks[precision] = _step(actor, batch)
            seconds[precision].append(elapsed)
    rows: list[MeasuredRow] = []
    for precision, actor in actors.items():
        wall, processor = (
            1000 * statistics.median(values) / pairs for values in zip(*seconds[precision][WARM_UP:], strict=True)
        )
        kept = kept_bytes(actor, lambda actor=actor: actor(batch).loss) / 2**20
        rows.append({
            "precision": precision, "group": pairs, "ms/pair": wall, "processor": processor, "pairs/s": 1000 / wall,
            "kept": kept, "peak": peaks[precision],
        })  # fmt: skip
    return rows


def make_group(experiment: ExperimentConfig, pairs: int) -> Batch:
    """Pairs of noise with boxes near the middle of the crops."""
    generator = torch.Generator().manual_seed(experiment.seed)
    template, search = (
        torch.randint(256, (pairs, 3, size, size), generator=generator, dtype=torch.uint8)
        for size in (experiment.template.size, experiment.search.size)
    )
    boxes = torch.tensor([0.3, 0.3, 0.4, 0.4]) + 0.1 * torch.rand(2, pairs, 4, generator=generator)
    gains = torch.ones(pairs)
    return Batch(tuple(range(pairs)), template, boxes[0], gains, search, boxes[1], gains, ("noise",) * pairs)


def kept_bytes(module: nn.Module, compute: abc.Callable[[], Tensor]) -> int:
    """The bytes that autograd keeps of ``compute`` for the backward pass, without the module's own tensors."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *module.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = compute()
    assert result.requires_grad  # the graph lives until here, so no two tensors had one address
    return sum(kept.values())


def _step(actor: Actor, batch: Batch) -> tuple[tuple[float, float], float | None]:
    """Seconds of wall clock and processor, and the peak in MiB."""
    device, peak = batch.search.device, None
    seed_network(0, 0)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    started, processor = perf_counter(), process_time()
    actor(batch).loss.backward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        peak = (torch.cuda.max_memory_allocated(device) - before) / 2**20
    seconds = perf_counter() - started, process_time() - processor
    actor.zero_grad(set_to_none=True)
    return seconds, peak
