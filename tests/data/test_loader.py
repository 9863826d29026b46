"""Batches from worker processes: the same as without them, in order, and undisturbed by signals or errors."""

from __future__ import annotations

import multiprocessing
import os
import platform
import signal
import subprocess
from dataclasses import replace

import numpy as np
import page_faults
import pytest
import torch

from lib.data.augment import JitterConfig
from lib.data.batch import Batch
from lib.data.images import ImageError
from lib.data.loader import build_loader, collate
from lib.data.pairs import DataConfig, Pairs, SourceConfig
from lib.data.sampling import Pool
from lib.geometry.crop import CropConfig


@pytest.fixture
def pairs(make_sequence) -> Pairs:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (80, 100, 3), dtype=np.uint8) for _ in range(20)]
    sequence = make_sequence("a", images, [(30.5 + i, 25, 20, 24) for i in range(20)])
    config = DataConfig(
        train=(SourceConfig(name="got10k", split="full"),),
        samples_per_epoch=1,
        search_jitter=JitterConfig(center=3.0, scale=0.25),
    )
    return Pairs(config, [Pool([sequence])], CropConfig(size=32, factor=2.0), CropConfig(size=64, factor=4.0), 0)


def assert_same(batch: Batch, other: Batch) -> None:
    assert vars(batch).keys() == vars(other).keys()
    for name, value in vars(batch).items():
        expected = getattr(other, name)
        assert torch.equal(value, expected) if isinstance(value, torch.Tensor) else value == expected, name


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_do_not_depend_on_workers(pairs, workers):
    groups = [[4, 9, 2], range(5, 7), (2**40, 2**40 + 1, 0)]
    batches = list(build_loader(pairs, iter(groups), workers))
    assert [batch.numbers for batch in batches] == [tuple(group) for group in groups]
    for batch, group in zip(batches, groups, strict=True):
        assert_same(batch, collate([pairs.sample(number) for number in group]))


def test_a_batch_is_its_samples_stacked(pairs):
    samples = [replace(pairs.sample(number), missed=missed) for number, missed in ((3, 1), (1, 2))]
    batch = collate(samples)
    assert (len(batch), batch.numbers, batch.sources) == (2, (3, 1), (samples[0].source, samples[1].source))
    assert torch.equal(batch.search[1], samples[1].search)
    assert torch.equal(batch.template_box[0], samples[0].template_box)
    np.testing.assert_allclose(batch.search_gain, [sample.search_gain for sample in samples])
    assert batch.template_gain.dtype == torch.float32
    assert batch.missed == 3


def test_reasons_of_redrawn_samples_reach_the_batch(pairs):
    for frame in pairs._pools[0].sequences[0].frames[:5]:
        frame.write_bytes(b"")
    batches = list(build_loader(pairs, [range(10), range(10, 30)], 1))
    reasons = [reason for batch in batches for reason in batch.redrawn]
    assert reasons == [reason for number in range(30) for reason in pairs.sample(number).redrawn]
    assert reasons and all("a_000" in reason for reason in reasons)
    assert [reason for batch in batches for reason in batch.damaged] == reasons


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_generator_is_left_alone(pairs, workers):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert len(list(build_loader(pairs, [[0]], workers))) == 1
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loader_can_be_read_again(pairs):
    loader = build_loader(pairs, [[0], [1]], 0)
    for batch, again in zip(list(loader), list(loader), strict=True):
        assert_same(batch, again)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_that_cannot_be_drawn_is_one_line(pairs, workers):
    for frame in pairs._pools[0].sequences[0].frames:
        frame.unlink()
    with pytest.raises(ImageError, match="10 unreadable images in sample 7: .*a_00") as error:
        list(build_loader(pairs, [[7]], workers))
    assert "\n" not in str(error.value)
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator has these thresholds")
def test_workers_keep_the_memory_of_pictures():
    (batch,) = build_loader(page_faults.FaultPairs(), [[0]], workers=1)
    assert int(batch.sources[0]) < 0.01 * page_faults.PAGES


def foreign_signal(pid: int, name: str) -> None:
    subprocess.run(["/bin/kill", f"-{name}", str(pid)], check=True)


def test_workers_leave_signals_to_the_main_process(pairs):
    """As Ctrl-C, torchrun and schedulers send them: to every process of the group."""
    batches = iter(build_loader(pairs, [[number] for number in range(40)], 1))
    next(batches)
    (worker,) = multiprocessing.active_children()
    foreign_signal(worker.pid, "TERM")
    foreign_signal(worker.pid, "INT")
    assert [batch.numbers[0] for batch in batches] == list(range(1, 40))


def test_a_worker_ends_when_its_parent_says_so(pairs):
    batches = iter(build_loader(pairs, [[number] for number in range(40)], 1))
    next(batches)
    (worker,) = multiprocessing.active_children()
    worker.terminate()
    worker.join(20)
    assert worker.exitcode == 0


def test_workers_are_not_forked_from_this_process(pairs):
    """Forked beside gloo's threads, one worker in hundreds hung for ever in its first moment."""
    batches = iter(build_loader(pairs, [[0], [1]], workers=1))
    next(batches)
    (worker,) = multiprocessing.active_children()
    parent = subprocess.run(["ps", "-o", "ppid=", "-p", str(worker.pid)], capture_output=True, text=True, check=True)
    assert int(parent.stdout) != os.getpid()
    batches.close()


def test_giving_up_early_ends_the_workers(pairs):
    batches = iter(build_loader(pairs, [[number] for number in range(100)], 2))
    next(batches)
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == set()
    batches.close()
    for worker in workers:
        worker.join(10)
    assert multiprocessing.active_children() == []
