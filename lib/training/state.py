"""The state of a training run: all that a checkpoint holds and a resumed run needs."""

import logging
from pathlib import Path
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import Tensor

from lib.config.paths import user_path
from lib.models.base import TrackingModel
from lib.models.weights.adapters import FrozenWeights, complete, sum_of_weights
from lib.models.weights.released import load_file
from lib.runtime.checkpoint import CheckpointError, load_weights
from lib.training.config import TrainConfig
from lib.training.optimizer import build_optimizer

logger = logging.getLogger(__name__)


class TrainingState:
    """The trained ``model``, the ``average`` of its weights (None without ``train.ema``), the ``optimizer``, the
    ``scaler`` of fp16, and the numbers of finished steps and epochs.

    ``frozen``: initial weights in the model that are not trained; checkpoints do not repeat them.
    """

    def __init__(self, model: TrackingModel, config: TrainConfig, frozen: FrozenWeights | None) -> None:
        device = next(model.parameters()).device
        self.model = model
        self.optimizer = build_optimizer(model, config.optimizer)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        self.average = None if config.ema is None else ModelEmaV3(model, decay=config.ema)
        self.step, self.epoch = 0, 0
        self._frozen = frozen
        self._frozen_sum = "" if frozen is None else sum_of_weights(model.state_dict(), frozen.names)

    @property
    def result(self) -> TrackingModel:
        """The network that is validated, tested and exported: the average, if there is one."""
        return self.model if self.average is None else self.average.module

    def content(self) -> dict[str, Any]:
        """The state as plain types and tensors."""
        left_out = self._frozen.names if self._frozen else ()

        def own_weights(model: TrackingModel) -> dict[str, Tensor]:
            return {name: value for name, value in model.state_dict().items() if name not in left_out}

        content = {
            "model": own_weights(self.result),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "epoch": self.epoch,
        }
        if self.average is not None:
            content["unaveraged"] = own_weights(self.model)
        if self._frozen:
            content["beneath"] = {"pretrained": self._frozen.pretrained, "sha256": self._frozen_sum}
        if self.scaler.is_enabled():
            content["scaler"] = self.scaler.state_dict()
        return content

    def resume(self, path: Path, content: dict[str, Any]) -> None:
        """Takes over the content of a checkpoint, ``path`` for messages. Raises CheckpointError if it does not fit."""
        modules = {"model": self.result, **({} if self.average is None else {"unaveraged": self.model})}
        for key, module in modules.items():
            weights = complete(module, content[key], self._frozen, content.get("beneath"), path)
            load_weights(module, weights, path)
        try:
            self.optimizer.load_state_dict(content["optimizer"])
            if self.scaler.is_enabled():
                self.scaler.load_state_dict(content["scaler"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{path}: its optimizer is not this run's ({error}); remove it, or train under another --name"
            ) from error
        self.step, self.epoch = content["step"], content["epoch"]
        self._compare_frozen()

    def start_from(self, checkpoint: str) -> None:
        """Takes the weights alone from ``checkpoint``, for fine-tuning. Raises CheckpointError if they do not fit."""
        path = user_path(checkpoint)
        try:
            load_file(self.model, path, frozen=self._frozen)
        except CheckpointError as error:
            raise CheckpointError(f"train.init_from: {error}") from error
        if self.average is not None:
            self.average.set(self.model)
        logger.info("weights from %s", path)
        self._compare_frozen()

    def _compare_frozen(self) -> None:
        """A complete file may hold other frozen weights than the initial ones; then checkpoints are complete too."""
        if self._frozen and sum_of_weights(self.model.state_dict(), self._frozen.names) != self._frozen_sum:
            self._frozen = None
