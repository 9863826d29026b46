"""Checkpoint files: written whole or not at all, read without executing anything."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from torch import Tensor, nn

from lib.runtime.file_kinds import short
from lib.runtime.files import file_sha256, replacing
from lib.runtime.unpickling import CheckpointError, as_plain, check_file, read_inert

CHECKPOINT_FORMAT = 1
TRAINING_KEYS = {
    **dict.fromkeys(("experiment", "model", "optimizer"), dict),
    **dict.fromkeys(("step", "epoch", "seed", "processes"), int),
}


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Writes plain types and tensors. Raises CheckpointError, the earlier file untouched, when the disk refuses."""
    _write(path, lambda file: torch.save(content, file))


def save_safetensors(path: Path, weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Writes weights, with the plain types of ``about`` as JSON texts in the file's head. Raises CheckpointError as
    ``save_checkpoint`` does."""
    plain = {name: value.contiguous() for name, value in weights.items()}
    texts = {key: json.dumps(value) for key, value in about.items()}
    _write(path, lambda file: file.write(safetensors.torch.save(plain, texts)))


def _write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    try:
        with replacing(path) as file:
            write(file)
    except (OSError, RuntimeError) as error:
        # A failed write inside torch.save ends as a RuntimeError about positions; the cause is in its context.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        raise CheckpointError(
            f"{path}: cannot be saved ({cause.strerror}); make room or rights there, then run the same command again"
        ) from error


def checksum_of(path: Path) -> str:
    """The checksum of a file for ``read_inert``, "sha256 ..."; CheckpointError if there is no file."""
    check_file(path)
    return f"sha256 {file_sha256(path)}"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The content of any torch file that is a dictionary of tensors and plain types, with tensors on the CPU.

    Raises CheckpointError for a file that is missing, cut short, changed since it was written, no checkpoint, or that
    holds pickled objects.
    """
    content = read_inert(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__} where a checkpoint is a dictionary")
    return as_plain(content, path)


def read_training_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint that training wrote: ``TRAINING_KEYS`` under format ``CHECKPOINT_FORMAT``.

    Raises CheckpointError as ``read_checkpoint`` does, and for a torch file from elsewhere.
    """
    content = read_checkpoint(path)
    wrong = [key for key, kind in TRAINING_KEYS.items() if not isinstance(content.get(key), kind)]
    if content.get("format") != CHECKPOINT_FORMAT or wrong:
        raise CheckpointError(
            f"{path}: not a training checkpoint of this project (format {short(repr(content.get('format')))}, expected "
            f"{CHECKPOINT_FORMAT}; lacks {', '.join(wrong) or 'nothing'})"
        )
    return content


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], source: Path | str) -> None:
    """Loads ``weights`` strictly. Raises CheckpointError that reports what is missing, unexpected, reshaped or
    quantized in ``source``, a file or a few words; the module is then as before."""
    own = module.state_dict()
    shared = [name for name in own if name in weights]
    faults = {
        "missing": [name for name in own if name not in weights],
        "unexpected": [name for name in weights if name not in own],
        "no tensors": [name for name in shared if not isinstance(weights[name], Tensor)],
        "of another shape": [
            f"{name} {tuple(weights[name].shape)} where the model has {tuple(own[name].shape)}"
            for name in shared
            if isinstance(weights[name], Tensor) and weights[name].shape != own[name].shape
        ],
    }
    report = "; ".join(f"{len(names)} {kind}: {_few(names)}" for kind, names in faults.items() if names)
    if report:
        raise CheckpointError(f"{source}: of another model than the configuration's ({report})")
    check_not_quantized({name: value for name, value in weights.items() if own[name].is_floating_point()}, source)
    module.load_state_dict(weights)


def check_not_quantized(weights: Mapping[str, Tensor], source: Path | str) -> None:
    """Raises CheckpointError if any of these weights, all of which should be floating point, are integers."""
    integers = [
        f"{name} {str(value.dtype).removeprefix('torch.')}"
        for name, value in weights.items()
        if not value.is_floating_point()
    ]
    if integers:
        raise CheckpointError(
            f"{source}: {len(integers)} of its weights are integers, as in a quantized network, whose scales are not "
            f"read ({_few(integers)}); take its weights in floating point"
        )


def _few(names: list[str]) -> str:
    return ", ".join(short(name) for name in names[:5]) + (", ..." if len(names) > 5 else "")
