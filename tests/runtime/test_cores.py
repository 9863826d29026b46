import os

import pytest

from lib.runtime.cores import usable_cores


@pytest.mark.parametrize(("share", "expected"), [("3", 3), ("1", 1), ("", None), ("0", None), ("4,2", None)])
def test_a_launchers_share_counts_and_all_cores_do_without_one(monkeypatch, share, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", share)
    assert usable_cores() == (expected or len(os.sched_getaffinity(0)))
