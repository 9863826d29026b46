"""Large buffers that are kept: shown by what the kernel counts, not by a clock."""

import platform
import subprocess
import sys

import page_faults
import pytest

from lib.runtime import allocator
from lib.runtime.allocator import keep_large_buffers


def run(*arguments: str) -> list[str]:
    command = [sys.executable, page_faults.__file__, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator has these thresholds")
def test_pictures_get_the_memory_of_earlier_ones():
    by_default = int(run()[0])
    done, kept = run("keep")
    assert done == "True"
    assert int(kept) < 0.01 * page_faults.PAGES
    assert by_default > 0.5 * page_faults.PAGES


def test_other_c_libraries_are_left_alone(monkeypatch):
    class Musl:
        """Has no mallopt, and does not say that it is glibc."""

    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: Musl())
    assert keep_large_buffers() is False


@pytest.mark.parametrize("refused", [0, 1])
def test_a_refusal_is_told(monkeypatch, refused):
    answers = iter([refused, 1 - refused])

    class Glibc:
        gnu_get_libc_version = None

        @staticmethod
        def mallopt(parameter: int, value: int) -> int:
            return next(answers)

    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: Glibc)
    assert keep_large_buffers() is False
