import json

import pytest
import torch
import toy

from lib.runtime.checkpoint import load_weights
from lib.training.config import TrainConfig
from lib.training.state import TrainingState


def state(**changes) -> TrainingState:
    return TrainingState(toy.ToyTracker(), TrainConfig.model_validate_json(json.dumps({**toy.CONFIG, **changes})), None)


@pytest.mark.parametrize("changes", [{}, {"ema": 0.5}, {"precision": "fp16"}])
def test_a_state_takes_over_the_content_of_another(tmp_path, changes):
    first, second = state(**changes), state(**changes)
    first.step, first.epoch = 7, 2
    for parameter in first.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    first.optimizer.step()
    if first.average is not None:
        first.average.update(first.model)
    content = first.content()
    assert content.keys() == {"model", "optimizer", "step", "epoch"} | (
        {"unaveraged"} if "ema" in changes else {"scaler"} if changes else set()
    )
    torch.save(content, tmp_path / "x.pth")
    second.resume(tmp_path / "x.pth", torch.load(tmp_path / "x.pth", weights_only=True))
    assert (second.step, second.epoch) == (7, 2)
    assert toy.leavings(second.model, second.optimizer) == toy.leavings(first.model, first.optimizer)
    assert toy.leavings(second.result, second.optimizer) == toy.leavings(first.result, first.optimizer)


def test_the_average_is_the_result():
    plain, averaged = state(), state(ema=0.5)
    assert plain.result is plain.model
    assert averaged.result is averaged.average.module
    load_weights(plain.model, averaged.content()["model"], "the average")
