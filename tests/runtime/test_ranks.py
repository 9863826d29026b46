"""The ranks that a launcher's variables state."""

import pytest

from lib.runtime.ranks import Ranks, ranks


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def test_without_variables_or_with_empty_ones_a_process_is_alone(monkeypatch):
    assert ranks() == Ranks(0, 0, 1)
    monkeypatch.setenv("WORLD_SIZE", "")
    assert ranks() == Ranks(0, 0, 1)


def test_the_variables_are_read_by_name(monkeypatch):
    for name, value in (("RANK", "5"), ("LOCAL_RANK", "1"), ("WORLD_SIZE", "8")):
        monkeypatch.setenv(name, value)
    assert ranks() == Ranks(5, 1, 8)


@pytest.mark.parametrize(("name", "value", "message"), [
    ("WORLD_SIZE", "two", "WORLD_SIZE: got 'two'"),
    ("LOCAL_RANK", "-1", "LOCAL_RANK: got '-1'"),
    ("RANK", "1", "RANK: got 1, but WORLD_SIZE is 1"),
])  # fmt: skip
def test_variables_that_do_not_fit_are_refused(monkeypatch, name, value, message):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        ranks()
