"""Miniature datasets, written where a test asks."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import miniatures
import pytest


@pytest.fixture
def write_got10k(tmp_path: Path) -> Callable[..., Path]:
    """``(folder, lengths, first_box_only=False) -> root``: sequences of these numbers of frames, below ``tmp_path``."""
    return partial(miniatures.write_got10k, tmp_path)
