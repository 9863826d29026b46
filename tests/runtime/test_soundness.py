"""A GPU that answers with an error ends the use of its process; a lack of memory does not."""

from __future__ import annotations

import sys

import pytest
import torch

from lib.runtime.soundness import is_sound


def test_a_gpu_that_answers_with_an_error_is_not_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    def failed() -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    assert is_sound()
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    assert is_sound()
    monkeypatch.setattr(torch.cuda, "synchronize", failed)
    assert not is_sound()
    monkeypatch.setitem(sys.modules, "torch", None)
    assert is_sound()
