"""Training on CUDA: gradients as on the CPU, gradients through NCCL, and a run that was stopped."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from families import COVERING_PAIRS, TWINS, fresh, tiny

from lib.config.paths import Paths
from lib.experiment.build import build_actor, build_trainer
from lib.experiment.config import ExperimentConfig
from lib.models.layers.relation import published_attention
from lib.profiling.training import make_group
from lib.programs.training import train
from lib.runtime.process import Process
from lib.training.actor import Actor
from lib.training.replicas import Replicas
from lib.training.trainer import Trainer

pytestmark = pytest.mark.gpu

# Two epochs of two steps of two groups.
SHORT = (
    "train.epochs=2", "train.global_batch=4", "train.group_batch=2", "data.samples_per_epoch=8", "data.val_samples=2",
    "data.workers=0", "train.log_every=1", "train.validate_every=2", "train.precision=fp32",
)  # fmt: skip
# Of a parameter's gradient, and of the whole gradient where a parameter's is nothing but rounding.
RELATIVE, ROUNDING = 1e-3, 1e-5


def actor_of(experiment: ExperimentConfig, device: torch.device | str) -> Actor:
    """In eval mode, in which no noise is drawn: each device draws its own."""
    return build_actor(experiment, fresh(experiment)).to(device).eval()


def gradients(actor: Actor) -> dict[str, torch.Tensor]:
    return {name: value.grad.cpu() for name, value in actor.named_parameters() if value.grad is not None}


def assert_equal_gradients(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    whole = torch.stack([value.norm() for value in expected.values()]).norm()
    for name, value in expected.items():
        assert (found[name] - value).norm() <= RELATIVE * value.norm() + ROUNDING * whole, name


@pytest.mark.parametrize(("family", "head"), COVERING_PAIRS)
def test_loss_and_gradients_equal_the_cpus(device, family, head):
    experiment = tiny(family, head, "train.precision=fp32")
    batch = make_group(experiment, 4)
    losses, found = [], []
    for place in (device, "cpu"):
        actor = actor_of(experiment, place)
        loss = actor(batch.to(place)).loss
        loss.backward()
        losses.append(loss.item())
        found.append(gradients(actor))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert_equal_gradients(*found)


@pytest.mark.parametrize("family", TWINS)
def test_losses_in_bf16_are_near_those_in_fp32(device, family):
    fp32, bf16 = (tiny(family, None, f"train.precision={precision}") for precision in ("fp32", "bf16"))
    batch = make_group(fp32, 4)
    expected = actor_of(fp32, "cpu")(batch).loss.item()
    assert actor_of(bf16, device)(batch.to(device)).loss.item() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("spread", [1.0, 8.0])
def test_training_attention_and_its_gradients_equal_the_cpus(device, spread):
    """Also where the eps of the softmax takes weight."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(3, 2, 4, 80, 32, generator=generator)
    interacts = (torch.rand(2, 64, generator=generator) < 0.4).float()
    towards = torch.randn(2, 4, 80, 32, generator=generator)

    def run(place: torch.device | str) -> list[torch.Tensor]:
        given = (spread * tokens[0], tokens[1], tokens[2], interacts)
        q, k, v, decisions = (value.to(place).requires_grad_() for value in given)
        output = published_attention(q, k, v, decisions)
        output.backward(towards.to(place))
        return [value.cpu() for value in (output.detach(), q.grad, k.grad, v.grad, decisions.grad)]

    for own, cpu in zip(run(device), run("cpu"), strict=True):
        assert (own - cpu).norm() <= RELATIVE * cpu.norm()


@pytest.fixture
def group_of_one(device: torch.device, tmp_path: Path) -> Iterator[Process]:
    """This process in a group that it is alone in, and two by its word, so that gradients go through the group."""
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=dist.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1)
    yield Process(0, 2, device)
    dist.destroy_process_group()


@pytest.mark.parametrize("family", TWINS)
def test_gradients_through_the_group_equal_those_without(device, family, group_of_one):
    experiment = tiny(family, None, "train.precision=fp32")
    batch = make_group(experiment, 4).to(device)
    plain, shared = actor_of(experiment, device), actor_of(experiment, device)
    plain(batch, 0).loss.backward()
    replicas = Replicas(shared, group_of_one)
    replicas.add_gradient(batch, 0, None, lambda loss: loss, last=True)
    assert_equal_gradients(gradients(shared), gradients(plain))


def start(experiment: ExperimentConfig, output: Path, data: Path, device: torch.device) -> Trainer:
    paths = Paths(data={"got10k": data}, output=output, cache=output / "cache")
    return build_trainer(experiment, paths, Process(0, 1, device))


def losses(output: Path) -> list[float]:
    [log] = output.glob("*/log.jsonl")
    records = map(json.loads, log.read_text().splitlines())
    return [record["loss"] for record in records if record["kind"] == "train"]


@pytest.mark.parametrize("family", TWINS)
def test_a_stopped_training_goes_on_where_it_was(device, family, tmp_path, toy_got10k):
    """What is restored is equal to the bit; what follows is, but for kernels that sum in any order."""
    experiment = tiny(family, None, *SHORT)
    whole = start(experiment, tmp_path / "whole", toy_got10k, device)
    assert (whole.run(), whole.state.step) == (0, 4)
    stopped = start(experiment, tmp_path / "stopped", toy_got10k, device)
    passes = iter(range(100))
    stopped.actor.model.register_forward_pre_hook(
        lambda *_: signal.raise_signal(signal.SIGTERM) if next(passes) == 5 else None
    )
    assert (stopped.run(), stopped.state.step) == (signal.SIGTERM, 3)
    again = start(experiment, tmp_path / "stopped", toy_got10k, device)
    again._restore()
    for name, value in stopped.actor.model.state_dict().items():
        assert torch.equal(again.actor.model.state_dict()[name], value), name
    for before, after in zip(
        stopped.state.optimizer.state_dict()["state"].values(),
        again.state.optimizer.state_dict()["state"].values(),
        strict=True,
    ):
        assert all(torch.equal(before[name].cpu(), after[name].cpu()) for name in before)
    assert (again.run(), again.state.step) == (0, 4)
    assert losses(tmp_path / "stopped") == pytest.approx(losses(tmp_path / "whole"), rel=1e-2)


def test_two_gpus_train_as_one(device, tmp_path, toy_got10k):
    if device.type == "cuda" and torch.cuda.device_count() < 2:
        pytest.skip("there is one GPU")
    for processes in (1, 2):
        paths = Paths(data={"got10k": toy_got10k}, output=tmp_path / str(processes), cache=tmp_path / "cache")
        assert train(paths, TWINS["grm"], None, processes, device.type, False, SHORT) == 0
    assert losses(tmp_path / "2") == pytest.approx(losses(tmp_path / "1"), rel=1e-2)
