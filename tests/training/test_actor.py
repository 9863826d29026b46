import signal

import pytest
import torch
import toy
from torch import nn

from lib.data.batch import stack
from lib.models.base import Normalize
from lib.models.heads.center import CenterObjective, CenterObjectiveConfig
from lib.training.actor import Actor, running_statistics


@pytest.fixture
def batch():
    return stack([toy.ToyPairs(3).sample(number) for number in range(6)])


def test_an_actor_computes_model_and_objective(batch):
    model, objective = toy.ToyTracker().eval(), CenterObjective(CenterObjectiveConfig())
    result = Actor(model, objective)(batch)
    template, search = (
        Normalize()(images, gain)
        for images, gain in ((batch.template, batch.template_gain), (batch.search, batch.search_gain))
    )
    prediction = model(template, batch.template_box, search)
    expected = objective(prediction, batch.search_box)
    assert torch.equal(result.loss, expected.total)
    assert result.loss.requires_grad
    assert result.values.keys() == {"loss", "share_a", *expected.terms, *expected.monitors}
    assert not any(value.requires_grad for value in result.values.values())
    assert result.values["share_a"].tolist() == [prediction.extras["interacts"].mean().item()]


def test_bf16_computes_the_network_in_bf16_and_the_loss_in_float32(batch):
    model, seen = toy.ToyTracker().eval(), []
    model.search.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    objective = CenterObjective(CenterObjectiveConfig())
    losses = {precision: Actor(model, objective, precision)(batch).loss for precision in ("fp32", "bf16")}
    assert seen == [torch.float32, torch.bfloat16]
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"].item() == pytest.approx(losses["fp32"].item(), rel=0.05)


def record_epochs(model) -> list:
    """The epochs that the network gets from here on, in training and in eval mode."""
    epochs, locate = [], model.locate

    def recording(state, search, epoch=None):
        epochs.append((model.training, epoch))
        return locate(state, search, epoch)

    model.locate = recording
    return epochs


def test_the_epoch_reaches_the_network(batch):
    model = toy.ToyTracker().eval()
    epochs, actor = record_epochs(model), Actor(model, CenterObjective(CenterObjectiveConfig()))
    actor(batch, 3)
    actor(batch)
    assert epochs == [(False, 3), (False, None)]


@pytest.mark.slow
def test_a_run_passes_the_epoch_in_training_and_validation_and_after_a_resume(tmp_path):
    """Two epochs of 3 steps of 6 groups, each with 4 validation groups; stopped in the second one's first step."""
    trainer = toy.build_trainer(tmp_path, stop_at=(signal.SIGTERM, 22))
    epochs = record_epochs(trainer.actor.model)
    assert trainer.run() == signal.SIGTERM
    assert epochs == [(True, 0)] * 18 + [(False, 0)] * 4 + [(True, 1)] * 6
    trainer = toy.build_trainer(tmp_path)
    epochs = record_epochs(trainer.actor.model)
    assert trainer.run() == 0
    assert epochs == [(True, 1)] * 12 + [(False, 1)] * 4


def test_running_statistics_move_only_on_request():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3, track_running_stats=False))
    images = torch.randn(4, 3, 5, 5)
    fresh = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with running_statistics(model, update=False):
        silent = model(images)
    assert all(torch.equal(buffer, fresh[name]) for name, buffer in model.named_buffers())
    with running_statistics(model, update=True):
        heard = model(images)
    assert torch.equal(silent, heard)
    assert torch.allclose(model[0].running_mean, 0.1 * images.mean(dim=(0, 2, 3)))
    assert model[0].num_batches_tracked == 1
    assert [layer.track_running_stats for layer in model] == [True, False]


def test_images_are_normalized_on_the_models_device():
    actor = Actor(toy.ToyTracker().to("meta"), CenterObjective(CenterObjectiveConfig()))
    assert actor.normalize.mean.device.type == "meta"
