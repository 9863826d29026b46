"""The forms that an experiment's network can be run in: eager, compiled, captured, exported, each in a precision."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import torch

from lib.experiment.build import build_network
from lib.experiment.config import ExperimentConfig
from lib.inference.network import Network
from lib.inference.settings import Precision

ExportPrecision = Literal["fp32", "fp16", "bf16", "int8"]

_OF_TORCH, _EXPORTED = ("eager", "compiled", "captured"), ("onnx", "openvino")
_PRECISIONS = dict.fromkeys(_OF_TORCH, get_args(Precision)) | dict.fromkeys(_EXPORTED, get_args(ExportPrecision))


class Form(NamedTuple):
    """A kind (``eager``, ``compiled``, ``captured``, ``onnx``, ``openvino``) in a precision."""

    kind: str
    precision: str

    def __str__(self) -> str:
        return f"{self.kind} {self.precision}"


EAGER = Form("eager", "fp32")


def parse_forms(text: str) -> tuple[Form, ...]:
    """The forms that a list names: ``eager:fp32,compiled:bf16``; ``ValueError`` for one that there is not."""
    forms = tuple(Form(*entry.partition(":")[::2]) for entry in text.split(","))
    for form in forms:
        if form.kind not in _PRECISIONS:
            raise ValueError(f"form {form.kind!r}: it is {', '.join(_PRECISIONS)}, with a precision: eager:bf16")
        if form.precision not in _PRECISIONS[form.kind]:
            raise ValueError(f"form {form.kind}:{form.precision}: a precision is {', '.join(_PRECISIONS[form.kind])}")
    return forms


def open_forms(
    experiment: ExperimentConfig,
    forms: abc.Sequence[Form],
    folders: abc.Sequence[Path],
    batches: abc.Sequence[int],
    device: torch.device,
) -> list[tuple[str, Network, int]]:
    """Each form's label and network for each number of targets at once, with fresh weights; PyTorch's take any number.

    Raises ``ValueError`` for a folder whose network was not made from the experiment or takes none of ``batches``.
    """
    opened: list[tuple[str, Network, int]] = []
    for form in forms:
        network = _build(experiment, form, device)
        opened += [(str(form), network, batch) for batch in batches]
    return opened


def _build(experiment: ExperimentConfig, form: Form, device: torch.device) -> Network:
    testing = experiment.test.model_copy(update={"precision": form.precision})
    return build_network(
        experiment.model_copy(update={"test": testing}),
        device=str(device),
        compiled=form.kind == "compiled",
        captured=form.kind == "captured",
    )
