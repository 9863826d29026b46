"""Checkpoint files: written whole or not at all, read without executing anything in them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lib.runtime.files import replacing

FORMAT = 1
TRAINING_KEYS = ("experiment", "model", "optimizer", "step", "epoch", "seed", "processes")


class CheckpointError(ValueError):
    """A checkpoint that cannot be written, read or used; the message names the file and the remedy."""


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Writes plain types and tensors. Raises CheckpointError, the earlier file untouched, when the disk refuses."""
    try:
        with replacing(path) as file:
            torch.save(content, file)
    except (OSError, RuntimeError) as error:
        # A failed write inside torch.save ends as a RuntimeError about positions; the cause is in its context.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        raise CheckpointError(
            f"{path}: cannot be saved ({cause.strerror}); make room or rights there, then run the same command again "
            "to go on from the last checkpoint saved"
        ) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of any torch file whose top is a dictionary of tensors and plain types, tensors on the CPU.

    Raises CheckpointError for a file that is missing, cut short, changed since it was written, not torch's, or that
    holds pickled objects.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        if zipfile.is_zipfile(path):
            # torch does not compare the checksums that it writes.
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                raise zipfile.BadZipFile(f"checksum of {damaged} is wrong")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the reader raise nearly anything
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(
            f"{path}: not a whole checkpoint of tensors and plain types ({reason[0][:200]})"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__} where a checkpoint is a dictionary")
    return content


def read_training_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint that training wrote: ``TRAINING_KEYS`` under format ``FORMAT``.

    Raises CheckpointError as ``read_checkpoint`` does, and for a torch file from elsewhere.
    """
    content = read_checkpoint(path)
    missing = [key for key in TRAINING_KEYS if key not in content]
    if content.get("format") != FORMAT or missing:
        raise CheckpointError(
            f"{path}: not a training checkpoint of this project (format {content.get('format')!r}, expected {FORMAT}; "
            f"lacks {', '.join(missing) or 'nothing'})"
        )
    return content


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], source: Path | str) -> None:
    """Loads ``weights`` strictly. Raises CheckpointError that reports what is missing, unexpected or reshaped in
    ``source``, a file or a few words; the module is then as before."""
    own = module.state_dict()
    faults = {
        "missing": [name for name in own if name not in weights],
        "unexpected": [name for name in weights if name not in own],
        "of another shape": [
            f"{name} {tuple(weights[name].shape)} where the model has {tuple(own[name].shape)}"
            for name in own
            if name in weights and weights[name].shape != own[name].shape
        ],
    }
    report = "; ".join(f"{len(names)} {kind}: {_few(names)}" for kind, names in faults.items() if names)
    if report:
        raise CheckpointError(f"{source}: of another model than the configuration's ({report})")
    module.load_state_dict(weights)


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
