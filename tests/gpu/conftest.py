"""Checks that need CUDA; `make gpu` runs them. With TRACKING_GPU_TESTS_ON=cpu they run on the CPU, as far as they can
there, which shows that the checks themselves hold."""

import os
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The device to check."""
    name = os.environ.get("TRACKING_GPU_TESTS_ON", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA here")
    return torch.device(name)


@pytest.fixture(scope="session")
def cuda(device: torch.device) -> torch.device:
    """The device, for what there is on CUDA alone."""
    if device.type != "cuda":
        pytest.skip("CUDA alone can do this")
    return device


@pytest.fixture(autouse=True)
def exact_convolutions() -> Iterator[None]:
    """By default cuDNN's convolutions of float32 round to TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before
