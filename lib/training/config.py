"""The inputs of training: section ``train`` of the configuration, and the identity of a run."""

from collections import abc
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from lib.config.schema import NamePattern, Section
from lib.inference.settings import Precision


class OptimizerConfig(Section):
    """AdamW.

    * ``lr_factors``: factors of ``lr`` by parameter group of the model (``model.parameter_groups()``), 1 by default.
      GRM: ``{backbone: 0.1}``.
    * ``no_decay``: patterns of parameters without weight decay; each must match the beginning of a name. All decay by
      default; ``[".*bias$", ".*norm"]`` excludes biases and norms.
    """

    lr: PositiveFloat
    weight_decay: NonNegativeFloat
    lr_factors: dict[str, PositiveFloat] = Field(default_factory=dict)
    no_decay: tuple[NamePattern, ...] = ()


class WarmupConfig(Section):
    """Length of the warm-up, in ``epochs`` (fractions allowed) or in ``steps``."""

    epochs: PositiveFloat | None = None
    steps: PositiveInt | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("should be a share of all steps, or a mapping with one of epochs and steps")
        return self


ShareOfSteps = Annotated[float, Field(ge=0, lt=1)]


class StepScheduleConfig(Section):
    """Constant until the end of epoch ``drop_epoch``, then multiplied by ``factor``. ``warmup``: share of all steps,
    ``{epochs: 2}`` or ``{steps: 2000}``."""

    kind: Literal["step"]
    drop_epoch: int = Field(gt=0)
    factor: float = Field(default=0.1, gt=0)
    warmup: ShareOfSteps | WarmupConfig = 0.0


class CosineScheduleConfig(Section):
    """Half a cosine from 1 to ``final`` after the warm-up. ``warmup``: share of all steps, ``{epochs: 2}`` or ``{steps:
    2000}``."""

    kind: Literal["cosine"]
    warmup: ShareOfSteps | WarmupConfig = 0.05
    final: float = Field(default=0.0, ge=0)


ScheduleConfig = Annotated[StepScheduleConfig | CosineScheduleConfig, Field(discriminator="kind")]


class TrainConfig(Section):
    """Section ``train``.

    * ``global_batch``: pairs in one optimizer step. ``group_batch``: pairs that share BatchNorm statistics and loss
      denominators. Gradients are averaged over groups, then clipped to the norm ``clip_norm``; null does not clip
      (TransT).
    * ``precision``: "bf16" and "fp16" run the network under autocast. "fp16" scales the loss; a step whose gradient
      overflows is skipped, counted as ``overflows`` and followed by a smaller scale.
    * ``compile``: runs the network through ``torch.compile``. The first steps take minutes, later ones are faster. Only
      for networks whose shapes do not change.
    * ``ema``: decay of an exponential moving average of the weights, such as 0.9999. The average is validated, tested
      and exported. Null keeps none.
    * ``frozen``: patterns of parameters that are not trained; each must match the beginning of a name. BatchNorm layers
      whose parameters are frozen keep their statistics. The family's record may freeze more.
    * ``checkpoint_minutes``: time between checkpoints inside an epoch. ``keep``: number of epoch checkpoints kept.
    * ``validate_every``: epochs between validations, if there are validation pairs; the last epoch always has one.
    * ``init_from``: a checkpoint, ours or a released one, whose weights a new run starts from (fine-tuning; resuming
      needs no key).
    * ``log_every``: steps between lines of the log.
    """

    epochs: PositiveInt
    global_batch: PositiveInt
    group_batch: PositiveInt
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    clip_norm: PositiveFloat | None
    precision: Precision = "fp32"
    compile: bool = False
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    frozen: tuple[NamePattern, ...] = ()
    checkpoint_minutes: PositiveFloat = 20.0
    keep: PositiveInt = 3
    validate_every: PositiveInt = 1
    init_from: str | None = None
    log_every: PositiveInt = 50


@dataclass(frozen=True)
class Run:
    """Identity of a run.

    * ``output``: its folder. No other run may write there meanwhile (``lib.runtime.locks``).
    * ``experiment``: the resolved configuration as a plain tree. It is written to ``config.yaml`` and into
      checkpoints, and a resumed run must have the same.
    * ``seed``: decides the noise inside the network.
    * ``resolve``: adds new keys to the tree of an older checkpoint.
    * ``overfit``: repeats the samples of the first step, never validates and never resumes.
    """

    output: Path
    experiment: dict[str, Any]
    seed: int
    resolve: abc.Callable[[dict[str, Any]], dict[str, Any]] = dict
    overfit: bool = False
