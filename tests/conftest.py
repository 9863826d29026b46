"""What tests of several packages share: a small synthetic set."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lib.data.synthetic import write_synthetic


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Indices that the programs make lie here, not in the checkout."""
    os.environ["TRACKING_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    return Path(os.environ["TRACKING_CACHE"])


@pytest.fixture(scope="session")
def toy_got10k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a set in GOT-10k's layout, 3 sequences to train on and 2 to test on; tests leave it as it is."""
    root = tmp_path_factory.mktemp("toy") / "got10k"
    write_synthetic(root, train=3, val=2, frames=20, val_frames=20, width=96, height=72, seed=1)
    return root
