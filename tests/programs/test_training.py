"""The start of a training; its runs are in tests/tracking."""

import pytest

from lib.config.paths import Paths
from lib.programs.training import train
from lib.runtime.program import RequestError


def test_processes_are_started_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RequestError, match="leave it out under torchrun"):
        train(Paths(), "grm_tiny", None, nproc=2, device="cpu", overfit=False, overrides=())
