"""Weights and images that depend on names and a seed alone, so that recorded outputs need no checkpoint beside them.

The rule is the one the recorded numbers in tests/reference were made with.
"""

import json
import re
import zlib
from pathlib import Path

import numpy as np
import torch

REFERENCE = Path(__file__).parent / "reference"


def key_table(name: str) -> dict[str, dict]:
    """Names, shapes and types of a published checkpoint, in its order."""
    return json.loads((REFERENCE / f"{name}.keys.json").read_text(encoding="utf-8"))


def filled_state_dict(name: str, seed: int, without: str = "(?!)") -> dict[str, torch.Tensor]:
    """The published checkpoint ``name`` with values from the rule; integer entries are zero. Entries that the pattern
    ``without`` matches are left out."""
    return {
        key: torch.from_numpy(_values(key, tuple(entry["shape"]), entry["dtype"], seed))
        for key, entry in key_table(name).items()
        if not re.match(without, key)
    }


def filled_tensor(name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """One tensor of float32 with values from the rule."""
    return torch.from_numpy(_values(name, shape, "float32", seed))


def image_tensor(shape: tuple[int, int, int, int], name: str, seed: int) -> torch.Tensor:
    """A smooth normalised image batch ``[B, C, H, W]``: bilinear noise on a grid of 16 pixels, and a little grain."""
    generator = _generator(f"image:{name}", seed)
    batch, channels, height, width = shape
    knots = generator.standard_normal((batch, channels, height // 16 + 1, width // 16 + 1))
    row, column = np.arange(height), np.arange(width)
    down, right = (row % 16 / 16)[:, None], (column % 16 / 16)[None, :]
    top, left = row // 16, column // 16
    below, beside = np.minimum(top + 1, height // 16), np.minimum(left + 1, width // 16)

    def at(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return knots[:, :, rows][:, :, :, columns]

    smooth = at(top, left) * (1 - down) * (1 - right) + at(below, left) * down * (1 - right)
    smooth = smooth + at(top, beside) * (1 - down) * right + at(below, beside) * down * right
    return torch.from_numpy((smooth + 0.1 * generator.standard_normal(shape)).astype(np.float32))


def _generator(name: str, seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))


def _values(name: str, shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    if not dtype.startswith(("float", "bfloat", "half")):
        return np.zeros(shape, dtype=np.int64)
    noise = _generator(name, seed).standard_normal(shape, dtype=np.float64)
    if name.endswith("running_var"):
        values = 1 + np.abs(noise) / 10
    elif name.endswith("running_mean"):
        values = noise / 10
    elif len(shape) == 1 and name.endswith(".weight"):
        values = 1 + noise / 10
    elif len(shape) <= 1:
        values = noise / 20
    elif any(word in name for word in ("pos_embed", "token", "embedding")):
        values = noise / 5
    else:
        values = noise * 1.5 / np.sqrt(np.prod(shape[1:]))
    return np.asarray(values, dtype=np.float32)
