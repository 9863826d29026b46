"""The state of a training run: all that a checkpoint holds and a resumed run needs."""

import logging
from pathlib import Path
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import Tensor

from lib.config.paths import user_path
from lib.models.base import TrackingModel
from lib.models.weights.adapters import Base, over_base, sum_of_weights
from lib.models.weights.released import load_file
from lib.runtime.checkpoint import CheckpointError, load_weights
from lib.training.config import TrainConfig
from lib.training.optimizer import build_optimizer

logger = logging.getLogger(__name__)


class TrainingState:
    """The trained ``model``, the ``average`` of its weights (None without ``train.ema``), the ``optimizer``, the
    ``scaler`` of fp16, and the numbers of finished steps and epochs.

    ``base``: the frozen weights that already lie in the model; while they do, checkpoints do not repeat them.
    """

    def __init__(self, model: TrackingModel, config: TrainConfig, base: Base | None) -> None:
        device = next(model.parameters()).device
        self.model = model
        self.optimizer = build_optimizer(model, config.optimizer)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        self.average = None if config.ema is None else ModelEmaV3(model, decay=config.ema)
        self.step, self.epoch = 0, 0
        self._base = base
        self._base_sum = self._frozen_sum()
        self._over_base = base is not None

    @property
    def result(self) -> TrackingModel:
        """The network that is validated, tested and exported: the average, if there is one."""
        return self.model if self.average is None else self.average.module

    def content(self) -> dict[str, Any]:
        """The state as plain types and tensors."""
        repeated = self._base.names if self._over_base else ()

        def own_weights(model: TrackingModel) -> dict[str, Tensor]:
            return {name: value for name, value in model.state_dict().items() if name not in repeated}

        content = {
            "model": own_weights(self.result),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "epoch": self.epoch,
        }
        if self.average is not None:
            content["unaveraged"] = own_weights(self.model)
        if self._over_base:
            content["beneath"] = {"pretrained": self._base.pretrained, "sha256": self._base_sum}
        if self.scaler.is_enabled():
            content["scaler"] = self.scaler.state_dict()
        return content

    def resume(self, path: Path, content: dict[str, Any]) -> None:
        """Takes over the content of a checkpoint, ``path`` for messages. Raises CheckpointError if it does not fit."""
        modules = {"model": self.result, **({} if self.average is None else {"unaveraged": self.model})}
        for key, module in modules.items():
            weights = over_base(module, content[key], self._base, content.get("beneath"), path)
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
        self._over_base = self._base is not None and self._frozen_sum() == self._base_sum

    def start_from(self, checkpoint: str) -> None:
        """Takes the weights alone from ``checkpoint``, for fine-tuning. Raises CheckpointError if they do not fit."""
        path = user_path(checkpoint)
        try:
            load_file(self.model, path, base=self._base)
        except CheckpointError as error:
            raise CheckpointError(f"train.init_from: {error}") from error
        if self.average is not None:
            self.average.set(self.model)
        logger.info("weights from %s", path)
        # A whole file may hold other frozen weights than the base.
        self._over_base = self._base is not None and self._frozen_sum() == self._base_sum

    def _frozen_sum(self) -> str:
        return "" if self._base is None else sum_of_weights(self.model.state_dict(), self._base.names)
