"""The start of a training; its runs are in tests/tracking."""

import pytest

from lib.config.paths import Paths
from lib.config.schema import ConfigError
from lib.programs.training import train
from lib.runtime.program import RequestError


def start(nproc: int, device: str = "cpu") -> int:
    return train(Paths(), "grm_tiny", None, nproc, device, overfit=False, overrides=())


def test_wrong_processes_are_refused_before_they_start(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(RequestError, match="^--device cuda:0 is one GPU; "):
        start(2, "cuda:0")
    with pytest.raises(ConfigError, match="^7 processes cannot share "):
        start(7)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RequestError, match="leave it out under torchrun"):
        start(2)
