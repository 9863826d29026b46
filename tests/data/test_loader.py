"""Batches from worker processes: the same as without them, in order, and undisturbed by signals or errors."""

import multiprocessing
import os
import platform
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import odd_pairs
import page_faults
import pytest
import torch
from family_tree import family
from listed_sequences import ListedSequences
from same_samples import assert_same

from lib.data.augment import JitterConfig
from lib.data.batch import stack
from lib.data.decoding.images import ImageError
from lib.data.loader import WorkerError, load_batches
from lib.data.pairs import DataConfig, Pairs, SourceConfig
from lib.data.pools import Pool
from lib.data.types import Sequence
from lib.geometry.crop import CropConfig


@pytest.fixture
def sequence(make_sequence) -> Sequence:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (80, 100, 3), dtype=np.uint8) for _ in range(20)]
    return make_sequence("a", images, [(30.5 + i, 25, 20, 24) for i in range(20)])


@pytest.fixture
def pairs(sequence) -> Pairs:
    config = DataConfig(
        train=(SourceConfig(name="got10k", split="full"),),
        samples_per_epoch=1,
        search_jitter=JitterConfig(center=3.0, scale=0.25),
    )
    return Pairs(
        config, [Pool(ListedSequences([sequence]))], CropConfig(size=32, factor=2.0), CropConfig(size=64, factor=4.0), 0
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_do_not_depend_on_workers(pairs, workers):
    groups = [[4, 9, 2], range(5, 7), (2**40, 2**40 + 1, 0)]
    batches = list(load_batches(pairs, iter(groups), workers))
    assert [batch.numbers for batch in batches] == [tuple(group) for group in groups]
    for batch, group in zip(batches, groups, strict=True):
        assert_same(batch, stack([pairs.sample(number) for number in group]))


def test_a_batch_is_its_samples_stacked(pairs):
    samples = [replace(pairs.sample(number), missed=missed) for number, missed in ((3, 1), (1, 2))]
    batch = stack(samples)
    assert (len(batch), batch.numbers, batch.sources) == (2, (3, 1), (*samples[0].sources, *samples[1].sources))
    assert torch.equal(batch.search[1], samples[1].search[0])
    assert torch.equal(batch.template_box[0], samples[0].template_box[0])
    assert batch.search_gain.tolist() == [float(sample.search_gain) for sample in samples]
    assert batch.missed == 3
    assert batch.nbytes == 2 * (3 * (32**2 + 64**2) + 2 * 16 + 2 * 8)


def test_reasons_of_redrawn_samples_reach_the_batch(pairs, sequence):
    for frame in sequence.frames[:5]:
        frame.write_bytes(b"")
    reasons = [reason for batch in load_batches(pairs, [range(10), range(10, 30)], 0) for reason in batch.damaged]
    assert reasons == [reason for number in range(30) for reason in pairs.sample(number).damaged]
    assert reasons and all("a_000" in reason for reason in reasons)


def test_the_global_generator_is_left_alone(pairs):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert len(list(load_batches(pairs, [[0]], 0))) == 1
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_that_cannot_be_drawn_is_one_line(pairs, sequence, workers):
    for frame in sequence.frames:
        frame.unlink()
    with pytest.raises(ImageError, match="10 unreadable images in sample 7: .*a_00") as error:
        list(load_batches(pairs, [[7]], workers))
    assert "\n" not in str(error.value)
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator has these thresholds")
def test_workers_keep_the_memory_of_pictures():
    (batch,) = load_batches(page_faults.FaultPairs(), [[0]], workers=1)
    assert int(batch.sources[0]) < 0.01 * page_faults.PAGES


def foreign_signal(pid: int, name: str) -> None:
    subprocess.run(["/bin/kill", f"-{name}", str(pid)], check=True)


def test_workers_leave_signals_to_the_main_process(pairs):
    """As Ctrl-C, torchrun and schedulers send them: to every process of the group."""
    batches = load_batches(pairs, [[number] for number in range(40)], 1)
    next(batches)
    (worker,) = multiprocessing.active_children()
    foreign_signal(worker.pid, "TERM")
    foreign_signal(worker.pid, "INT")
    assert [batch.numbers[0] for batch in batches] == list(range(1, 40))


def test_a_worker_is_not_forked_from_this_process_and_ends_when_that_says_so(pairs):
    """Forked beside gloo's threads, one worker in hundreds hung for ever in its first moment."""
    batches = load_batches(pairs, [[number] for number in range(40)], 1)
    next(batches)
    (worker,) = multiprocessing.active_children()
    assert int(_fields(worker.pid)[1]) != os.getpid()
    worker.terminate()
    worker.join(20)
    assert worker.exitcode == 0


def test_giving_up_early_ends_the_workers(pairs):
    batches = load_batches(pairs, [[number] for number in range(100)], 2)
    next(batches)
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == set()
    batches.close()
    for worker in workers:
        worker.join(10)
    assert multiprocessing.active_children() == []


# Workers that die, parents that die, and too little room between them


def ended_by(batches) -> str:
    line = "^a data worker was killed .often a lack of memory.; .*data.workers=0"
    with pytest.raises(WorkerError, match=line) as error:
        list(batches)
    return str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "server"])
def test_a_killed_worker_or_fork_server_is_one_line_and_the_next_start_is_whole(victim, capfd):
    groups = [[number] for number in range(1000)]
    batches = load_batches(odd_pairs.SlowPairs(), groups, 2)
    next(batches)
    worker = multiprocessing.active_children()[0].pid
    parent = int(_fields(worker)[1])
    os.kill(worker if victim == "worker" else parent, signal.SIGKILL)
    assert "\n" not in ended_by(batches)
    assert multiprocessing.active_children() == []
    assert len(list(load_batches(odd_pairs.SlowPairs(), groups[:3], 2))) == 3
    assert capfd.readouterr().err == ""


def hears(pid: int, number: int) -> bool:
    """Whether the main thread of a process neither blocks nor ignores a signal."""
    masks = re.findall(r"^Sig(?:Blk|Ign):\t([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return not any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


@pytest.mark.slow
def test_workers_and_their_server_leave_signals_to_the_program_and_end_with_it():
    """A signal to the group reaches them too; one that ended them would do so before the program has finished its step.
    Since they leave even SIGTERM to it, it is they who have to see that it is gone."""
    with family() as (mark, members):
        command = [sys.executable, odd_pairs.__file__]
        process = subprocess.Popen(command, env=os.environ | mark, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"started\n"
        lines = members.alive()
        assert len(lines) == 5, "the program, two workers, their server, the tracker of semaphores"
        for number in (signal.SIGINT, signal.SIGTERM):
            assert [pid for pid in lines if hears(pid, number)] == [process.pid]
        # Otherwise each worker, which imports the main module, would import most of the project anew.
        [server] = [pid for pid in lines if "forkserver" in lines[pid] and int(_fields(pid)[1]) == process.pid]
        assert "/_yaml." in Path(f"/proc/{server}/maps").read_text()
        process.kill()
        process.wait(20)
        members.await_end()


def test_full_shared_memory_is_one_line():
    """By the thread that sends batches its error would be printed, and the batch be waited for without end."""
    line = "no room for a batch of 0.0 MB, .* MB are free; .*--shm-size.*data.workers=0"
    with pytest.raises(WorkerError, match=line):
        list(load_batches(odd_pairs.CrampedPairs(), [[0], [1]], 1))
    assert multiprocessing.active_children() == []


def test_workers_that_cannot_be_started_are_one_line(monkeypatch):
    def refuse(_loader: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch.utils.data.DataLoader, "__iter__", refuse)
    with pytest.raises(WorkerError, match="cannot be started .No space left on device.; .*data.workers=0"):
        next(load_batches(odd_pairs.SlowPairs(), [[0]], 1))
    assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == set()


def test_another_error_of_a_worker_keeps_its_traceback():
    with pytest.raises(AttributeError, match="in DataLoader worker process 0"):
        list(load_batches(None, [[0]], 1))


def _fields(pid: int) -> list[str]:
    """Of a process, from its state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
