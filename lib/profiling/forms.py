"""The forms that an experiment's network can be run in: eager, compiled, captured, exported, each in a precision."""

import logging
from collections import abc
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple, get_args

import torch

from lib.experiment.build import TorchForm
from lib.experiment.config import ExperimentConfig
from lib.export.exported import check_openvino_precision, open_network
from lib.export.exporting import check_form, write_network
from lib.export.record import ExportPrecision, Origin, Runtime
from lib.inference.network import Network
from lib.inference.settings import Precision
from lib.inference.torch_network import TorchNetwork

logger = logging.getLogger(__name__)

_OF_TORCH, _EXPORTED = ("eager", "compiled", "captured"), get_args(Runtime)


class Form(NamedTuple):
    """A kind (``eager``, ``compiled``, ``captured``, ``onnx``, ``openvino``) in a precision."""

    kind: str
    precision: str

    def __str__(self) -> str:
        return f"{self.kind} {self.precision}"


EAGER = Form("eager", "fp32")


def parse_forms(text: str) -> tuple[Form, ...]:
    """The forms of a list such as ``eager:fp32,compiled:bf16``. Raises ``ValueError`` for an unknown one."""
    forms = tuple(Form(*entry.partition(":")[::2]) for entry in text.split(","))
    for kind, precision in forms:
        if kind not in (*_OF_TORCH, *_EXPORTED):
            raise ValueError(
                f"form {kind!r}: give one of {', '.join((*_OF_TORCH, *_EXPORTED))} with a precision, as eager:bf16"
            )
        known = get_args(Precision if kind in _OF_TORCH else ExportPrecision)
        if precision not in known:
            raise ValueError(f"form {kind}:{precision}: a precision is {', '.join(known)}")
    return forms


def forms_here(forms: abc.Sequence[Form], device: torch.device) -> tuple[Form, ...]:
    """The forms that this machine can run on ``device``; the others are logged. Raises ``ValueError`` if there is
    none."""
    found, reasons = [], []
    for form in forms:
        try:
            if form.kind == "captured" and device.type != "cuda":
                raise ValueError(f"a graph is captured on CUDA, not on {device}")
            if form.kind in _EXPORTED:
                check_form(*form)
            if form.kind == "openvino":
                check_openvino_precision(form.precision, form)
            found.append(form)
        except ValueError as error:
            reasons.append(f"{form}: {error}")
    if not found:
        raise ValueError("; ".join(reasons))
    for reason in reasons:
        logger.warning("left out: %s", reason)
    return tuple(found)


def open_forms(
    experiment: ExperimentConfig,
    forms: abc.Sequence[Form],
    folders: abc.Sequence[Path],
    device: torch.device,
    threads: int | None,
    temporary: Path,
    batches: abc.Sequence[int],
    streams: int = 1,
) -> list[tuple[str, Network, int]]:
    """The label, network and batch of each form for each of ``batches``; PyTorch's networks take any batch.

    Weights are fresh. Forms are exported into folders of ``temporary``, without a comparison. Exported networks run on
    the processor, whatever the ``device``; for their ``threads`` and ``streams`` see ``lib.export.exported``. Raises
    ``ValueError`` for a folder whose network is another experiment's or is made for none of ``batches``.
    """
    opened: list[tuple[str, Network, int]] = []
    for form in forms:
        if form.kind in _OF_TORCH:
            network = _build(experiment, form, str(device))
            opened += [(str(form), network, batch) for batch in batches]
            continue
        source = _build(experiment, EAGER, "cpu")
        for batch in batches:
            folder = Path(mkdtemp(dir=temporary))
            write_network(source, folder, *form, batch, Origin(experiment=source.name))
            opened.append((str(form), open_network(folder, threads, streams), batch))
    for folder in folders:
        exported = open_network(folder, threads, streams)
        if exported.record.origin.experiment != experiment.name:
            raise ValueError(f"{folder}: is of {exported.record.origin.experiment}, not of {experiment.name}")
        if exported.batch not in batches:
            raise ValueError(f"{folder}: is made for {exported.batch} targets at once; give --batch {exported.batch}")
        opened.append((folder.name, exported, exported.batch))
    return opened


def _build(experiment: ExperimentConfig, form: Form, device: str) -> TorchNetwork:
    testing = experiment.test.model_copy(update={"precision": form.precision})
    return TorchForm(
        experiment.model_copy(update={"test": testing}),
        device=device,
        compiled=form.kind == "compiled",
        captured=form.kind == "captured",
    ).network()
