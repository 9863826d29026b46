from __future__ import annotations

import signal
from types import SimpleNamespace

import pytest
import torch

from lib.runtime.process import LostProcessError, Process
from lib.runtime.stop import StopRequested
from lib.training.supply import Supply

GROUPS = [range(0, 2), range(2, 4)]


def together_with(other: int):
    """A process beside another one that answers ``other`` to every question."""
    return SimpleNamespace(device=torch.device("cpu"), agree=lambda value: max(value, other))


def supply(toy, process, received: int = 0, unreadable: int | None = None) -> Supply:
    return Supply(toy.ToyPairs(3, unreadable=unreadable), GROUPS, 0, process, SimpleNamespace(received=received))


def test_groups_come_in_order_and_end(toy):
    groups = supply(toy, Process(0, 1, 0, torch.device("cpu")))
    assert [groups.take().numbers for _ in GROUPS] == [(0, 1), (2, 3)]
    assert groups.take() is None


@pytest.mark.parametrize(("own", "other"), [(signal.SIGTERM, 0), (0, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)])
def test_all_stop_if_one_is_asked(toy, own, other):
    with pytest.raises(StopRequested) as stop:
        supply(toy, together_with(other), received=own).take()
    assert stop.value.signal == signal.SIGTERM


@pytest.mark.parametrize("received", [0, signal.SIGTERM])
def test_all_fail_if_one_cannot_read(toy, received):
    answers = []
    process = SimpleNamespace(device=torch.device("cpu"), agree=lambda value: answers.append(value) or value)
    with pytest.raises(ValueError, match="noise/1 is unreadable"):
        supply(toy, process, received=received, unreadable=1).take()
    with pytest.raises(LostProcessError, match="its own message"):
        supply(toy, together_with(answers[0]), received=received).take()
