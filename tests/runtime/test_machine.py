"""Cores, and large buffers that are kept: shown by the page faults that the kernel counts, not by a clock."""

import os
import platform
import subprocess
import sys

import page_faults
import pytest

from lib.runtime.machine import usable_cores


def run(*arguments: str) -> list[str]:
    command = [sys.executable, page_faults.__file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator has these thresholds")
def test_pictures_get_the_memory_of_earlier_ones():
    by_default = int(run()[0])
    assert int(run("keep")[0]) < 0.01 * page_faults.PAGES
    assert by_default > 0.5 * page_faults.PAGES


@pytest.mark.parametrize(("share", "expected"), [("3", 3), ("1", 1), ("", None), ("0", None), ("4,2", None)])
def test_a_launchers_share_counts_and_all_cores_do_without_one(monkeypatch, share, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", share)
    assert usable_cores() == (expected or len(os.sched_getaffinity(0)))
