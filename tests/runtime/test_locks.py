"""A lock on what one process alone may write."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib.runtime.locks import LockedError, only_writer

HOLD = """
import sys
from pathlib import Path
from lib.runtime.locks import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_with_the_first_ones_name(tmp_path, holder):
    with pytest.raises(LockedError) as error, only_writer(tmp_path / "run", remedy="take --name"):
        raise AssertionError
    text = str(error.value)
    assert text.startswith(f"{tmp_path / 'run'}: process {holder.pid} on {socket.gethostname()} since 2")
    assert text.endswith("is writing it; take --name")
    with only_writer(tmp_path / "other"):  # is not concerned
        pass
    holder.stdin.close()
    holder.wait()
    with only_writer(tmp_path / "run"), pytest.raises(LockedError), only_writer(tmp_path / "run"):
        raise AssertionError
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_locks_nothing(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert [path.name for path in tmp_path.iterdir()] == [".run.lock"]
    with only_writer(tmp_path / "run"):
        assert f"process {os.getpid()} on" in (tmp_path / ".run.lock").read_text()
    assert list(tmp_path.iterdir()) == []


def test_a_writer_can_wait_for_the_other(tmp_path, holder):
    threading.Timer(0.2, holder.stdin.close).start()
    with only_writer(tmp_path / "run", wait=True):
        assert holder.wait() == 0
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_block_releases_it(tmp_path):
    lock = tmp_path / "made" / ".lock"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), only_writer(tmp_path, lock):
            assert lock.is_file()
            raise KeyboardInterrupt
    assert list(lock.parent.iterdir()) == []


def test_of_many_at_once_one_is_in_the_block(tmp_path):
    """Also where the file is removed by one while others open it."""
    inside = []

    def enter(_number: int) -> int:
        try:
            with only_writer(tmp_path / "run"):
                inside.append(1)
                assert len(inside) == 1
                inside.pop()
                return 1
        except LockedError:
            return 0

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(enter, range(500))) > 0
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_locks_is_a_warning_and_another_error_is_raised(tmp_path, monkeypatch, caplog):
    codes = iter((errno.ENOLCK, errno.EIO))

    def refuse(*_: object) -> None:
        raise OSError(next(codes), "refused")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with only_writer(tmp_path / "run"):
        assert "this disk has no locks" in caplog.text
    with pytest.raises(OSError, match="refused"), only_writer(tmp_path / "run"):
        raise AssertionError
