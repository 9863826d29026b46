"""A small tracker, objective and stream of pairs to train within a second; also a task for several processes."""

import json
import signal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from lib.data.batch import Batch
from lib.data.pairs import DataConfig
from lib.models.base import TrackingModel
from lib.models.heads.center import CenterHead, CenterObjective, CenterObjectiveConfig
from lib.models.heads.distance import DistanceHead, DistanceObjective, DistanceObjectiveConfig
from lib.runtime.process import Process, joined
from lib.training.actor import Actor
from lib.training.config import Run, TrainConfig
from lib.training.optimizer import freeze
from lib.training.trainer import Trainer

CONFIG = {
    "epochs": 2,
    "global_batch": 12,
    "group_batch": 2,
    "optimizer": {"lr": 1e-2, "weight_decay": 1e-2, "lr_factors": {"backbone": 0.1}},
    "schedule": {"kind": "cosine", "warmup": 0.2},
    "clip_norm": 20.3,  # between the norms of the first and the last steps
    "log_every": 2,
}


class ToyPairs:
    """Pairs of noise. Some centers lie beyond the crop and have no positive cell: groups differ in positives.

    Every third sample is drawn again for an empty crop, every seventh for a damaged image; every fifth lacks a view.
    """

    def __init__(self, seed: int, poisoned: int | None = None, unreadable: int | None = None) -> None:
        self.seed, self.poisoned, self.unreadable = seed, poisoned, unreadable

    def sample(self, number: int) -> Batch:
        rng = np.random.default_rng((self.seed, number))
        template, search = (torch.from_numpy(rng.integers(0, 256, (1, 3, s, s), dtype=np.uint8)) for s in (8, 16))
        center, size = rng.uniform(0.2, 1.2, 2), rng.uniform(0.1, 0.5, 2)
        box = torch.from_numpy(np.concatenate([center - size / 2, size]).astype(np.float32))[None]
        gain = torch.tensor([rng.uniform(0.8, 1.2)])
        if number == self.unreadable:
            raise ValueError(f"noise/{number} is unreadable")
        if number == self.poisoned:
            box = torch.full((1, 4), float("nan"))
        damaged = (f"noise/{number}.jpg is damaged",) if number % 7 == 0 else ()
        empty = (f"noise/{number}: the crop lies off the image",) if number % 3 == 0 else ()
        return Batch(
            (number,), template, torch.tensor([[0.25, 0.25, 0.5, 0.5]]), gain, search, box, torch.ones(1),
            (f"noise/{number}",), damaged, empty, missed=int(number % 5 == 0),
        )  # fmt: skip


class ToyTracker(TrackingModel):
    """Noise inside (dropout, Gumbel), batch statistics (the head's), two parameter groups, a 4 x 4 grid."""

    def __init__(self, head: str = "center", width: int = 16) -> None:
        nn.Module.__init__(self)
        self.search_grid = 4
        self.template, self.search = nn.Conv2d(3, width, 4, 4), nn.Conv2d(3, width, 4, 4)
        self.mix, self.divide = nn.Linear(width, width), nn.Linear(width, 2)
        self.head = CenterHead(width, 16, 4) if head == "center" else DistanceHead(width, 16, 4)
        for name, parameter in self.head.named_parameters():
            # Before BatchNorm a bias has a gradient of rounding only, and Adam makes whole steps of it.
            parameter.requires_grad_(not name.endswith(".0.bias"))

    def encode_template(self, template, box):
        return (self.template(template).amax(dim=(2, 3)) * box[:, 2:3],)

    def locate(self, state, search, epoch=None):
        features = self.search(search)
        tokens = features.flatten(2).transpose(1, 2)
        log_probs = self.divide(tokens).log_softmax(-1)
        if self.training:
            kinds = nn.functional.gumbel_softmax(log_probs, hard=True)[..., 1]
        else:
            kinds = log_probs.argmax(-1).float()
        mixed = nn.functional.dropout(self.mix(*state), 0.2, self.training)
        tokens = tokens + kinds[..., None] * mixed[:, None]
        prediction = self.head(tokens.transpose(1, 2).reshape(features.shape))
        return prediction._replace(extras={"interacts": kinds[:, None]})

    def monitors(self, prediction):
        return {"share_a": prediction.extras["interacts"].mean(dim=(0, 2))}

    def parameter_groups(self):
        names = [name for name, parameter in self.named_parameters() if parameter.requires_grad]
        return {
            "backbone": [name for name in names if not name.startswith("head.")],
            "head": [name for name in names if name.startswith("head.")],
        }


def build_trainer(
    output: Path, process: Process | None = None, stop_at: tuple[int, int] | None = None, data: dict | None = None,
    overfit: bool = False, poisoned: int | None = None, unreadable: int | None = None, head: str = "center",
    **changes,
) -> Trainer:  # fmt: skip
    """A trainer of the toy. ``stop_at`` is (signal, number of the forward pass in which this process receives it);
    ``data`` replaces the numbers given beside ``TrainConfig``, ``changes`` its keys. Sample ``poisoned`` has a NaN, and
    ``unreadable`` raises."""
    torch.manual_seed(7)
    model = ToyTracker(head)
    torch.rand(int(np.random.default_rng().integers(1000)))  # the global generator must not matter from here on
    if stop_at is not None:
        number, calls = stop_at[0], iter(range(10**6))
        model.register_forward_pre_hook(lambda *_: signal.raise_signal(number) if next(calls) == stop_at[1] else None)
    tree = {**CONFIG, **changes}
    config = TrainConfig.model_validate_json(json.dumps(tree))
    numbers = {"samples_per_epoch": 38, "val_samples": 8, "workers": 0} | (data or {})
    process = process or Process(0, 1, torch.device("cpu"))
    freeze(model, (), config.frozen)
    objective = CenterObjective(CenterObjectiveConfig())
    if head == "distance":
        objective = DistanceObjective(DistanceObjectiveConfig())  # its denominator is that of the step
    actor = Actor(model, objective, config.precision)
    pairs = ToyPairs(3, poisoned, unreadable)
    experiment = {"seed": 5, "train": tree, "data": numbers, "test": {"threshold": 0.5}}
    run = Run(output, experiment, seed=5, overfit=overfit)
    return Trainer(actor, pairs, pairs, config, DataConfig.model_construct(**numbers), run, process)


class End(NamedTuple):
    """Whether a run was finished, its steps, and the signal that stopped it."""

    finished: bool
    step: int
    signal: int


def train(output: Path, process: Process | None = None, **arguments) -> tuple[End, dict]:
    """Runs a trainer; how it ended, and everything it leaves: weights, buffers, their average and the optimizer's
    state, as lists."""
    trainer = build_trainer(output, process, **arguments)
    received = trainer.run()
    end = End(not received, trainer.state.step, received)
    left = leavings(trainer.actor.model, trainer.state.optimizer)
    if trainer.state.average is not None:
        average = trainer.state.average.module.state_dict()
        left |= {f"average.{name}": value.double().flatten().tolist() for name, value in average.items()}
    return end, left


def leavings(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict:
    """Weights, buffers and the optimizer's state, in a form in which == means equal to the bit."""
    tensors = dict(model.state_dict())
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"{index}.{name}": value for name, value in state.items()}
    return {name: tensor.double().flatten().tolist() for name, tensor in tensors.items()}


def main(output: Path, plan: Path) -> int:
    """Runs one trainer after the other as the JSON file ``plan`` says and writes what came of them."""
    code = 1
    with joined("cpu") as process:
        for number, step in enumerate(json.loads(plan.read_text())):
            stop_at = step.pop("stop_at", None) if process.rank == step.pop("stop_rank", process.rank) else None
            step.pop("stop_at", None)
            try:
                end, left = train(output / step.pop("name"), process, stop_at=stop_at, **step)
            except ValueError as error:
                (output / f"{number}.error{process.rank}").write_text(str(error))
                continue
            code = 128 + end.signal if end.signal else 0
            if process.is_main:
                (output / f"{number}.json").write_text(json.dumps({"end": end, "left": left}))
    return code
