import pytest
import torch

from lib.runtime.process import (
    LostProcessError,
    describe_device,
    device_in_turn,
    joined,
    lost_processes,
)


def test_alone_without_torchrun(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    with joined("cpu") as process:
        assert (process.rank, process.world, process.device.type, process.is_main) == (0, 1, "cpu", True)
        assert process.agree(3) == 3
        assert process.gather({"a": 1}) == [{"a": 1}]
        assert not torch.distributed.is_initialized()


def device_of(name: str) -> torch.device:
    with joined(name) as process:
        return process.device


def test_auto_is_the_gpu_if_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert device_of("auto") == torch.device("cuda", 2)
    assert device_of("cuda:1") == torch.device("cuda", 1)


def test_devices_that_are_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match="'cuda:3' would be GPU number 3, but 1 are visible"):
        device_of("cuda:3")
    for name in ("gpu", "mps", "meta"):
        with pytest.raises(ValueError, match=f"device '{name}' is unknown to torch or not used here; use auto"):
            device_of(name)


@pytest.mark.parametrize(("variables", "device", "place"), [
    ({}, "cuda", "cuda:0"),
    ({"LOCAL_RANK": "5", "SLURM_LOCALID": "0"}, "cuda", "cuda:1"),
    ({"SLURM_LOCALID": "2"}, "auto", "cuda:0"),
    ({"LOCAL_RANK": "5"}, "cuda:0", "cuda:0"),
    ({"LOCAL_RANK": "5"}, "cpu", "cpu"),
])  # fmt: skip
def test_processes_that_work_apart_take_the_gpus_in_turn(monkeypatch, variables, device, place):
    for name in ("LOCAL_RANK", "SLURM_LOCALID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_in_turn(device) == place


def test_a_device_is_described_with_its_libraries(monkeypatch):
    assert describe_device("cpu") == ("", {"torch": torch.__version__})
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the one of {device}")
    hardware, versions = describe_device("cuda:1")
    assert (hardware, set(versions)) == ("the one of cuda:1", {"torch", "cuda", "cudnn"})


@pytest.mark.parametrize(
    "error", [RuntimeError("[../gloo/pair.cc:547] Connection closed"), torch.distributed.DistBackendError("nccl")]
)
def test_a_lost_connection_is_another_process_that_failed(error):
    with pytest.raises(LostProcessError), lost_processes():
        raise error
    with pytest.raises(RuntimeError, match="^of ours$"), lost_processes():
        raise RuntimeError("of ours")
