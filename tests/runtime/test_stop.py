import signal
import subprocess
import sys

import pytest

from lib.runtime.stop import Terminated, stop_signals, terminated_like_interrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_only_noted(number):
    before = signal.getsignal(number)
    with stop_signals() as stop:
        assert stop.received == 0
        signal.raise_signal(number)
        assert stop.received == number
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    ("sent", "code"),
    [("INT INT", 130), ("INT TERM", 130), ("TERM INT", 143), ("TERM TERM TERM", 0), ("INT", 0)],
)
def test_only_a_person_asking_twice_ends_the_process_at_once(sent, code):
    program = (
        "import signal; from lib.runtime.stop import stop_signals\n"
        "with stop_signals():\n"
        f"    for name in '{sent}'.split(): signal.raise_signal(signal.Signals['SIG' + name])\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == code


def test_a_schedulers_signal_interrupts_like_ctrl_c():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt) as caught, terminated_like_interrupted():
        signal.raise_signal(signal.SIGTERM)
    assert caught.type is Terminated
    assert signal.getsignal(signal.SIGTERM) is before
