"""Work in threads: in order, read as it is used, and ended by the first error."""

import threading
import time

import pytest

from lib.runtime.threads import in_threads


def test_results_come_in_order_and_items_are_read_as_they_are_used():
    read = []

    def items():
        for number in range(40):
            read.append(number)
            yield number

    def tenfold(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return 10 * number

    results = in_threads(tenfold, items(), threads=2)
    assert next(results) == 0
    assert len(read) == 9
    assert list(results) == [10 * number for number in range(1, 40)]


def test_an_error_drops_the_items_that_wait():
    done, before = [], set(threading.enumerate())

    def task(number: int) -> None:
        if number == 1:
            raise ValueError("1 is not wanted")
        time.sleep(0.05)
        done.append(number)

    with pytest.raises(ValueError, match="1 is not wanted"):
        list(in_threads(task, range(8), threads=2))
    assert len(done) < 5
    assert set(threading.enumerate()) <= before


def test_leaving_the_loop_ends_the_threads():
    before = set(threading.enumerate())
    results = in_threads(str, range(100), threads=2)
    assert next(results) == "0"
    results.close()
    assert set(threading.enumerate()) <= before
