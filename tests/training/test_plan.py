import json

import pytest
import torch
from torch import nn

from lib.config.schema import ConfigError
from lib.data.pairs import FIRST_VALIDATION_NUMBER, DataConfig
from lib.training.config import TrainConfig
from lib.training.frozen import running_statistics
from lib.training.plan import StepPlan


def plan(toy, global_batch: int, group_batch: int, processes: int, samples: int = 640, validated: int = 0) -> StepPlan:
    data = DataConfig.model_construct(samples_per_epoch=samples, val_samples=validated)
    config = TrainConfig.model_validate_json(
        json.dumps({**toy.CONFIG, "global_batch": global_batch, "group_batch": group_batch})
    )
    return StepPlan(config, data, processes)


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_take_contiguous_blocks_of_the_same_groups(toy, processes):
    dealing = plan(toy, 16, 4, processes)
    assert dealing.local_groups * processes == dealing.groups == 4
    dealt = [numbers for rank in range(processes) for numbers in dealing.numbers(3, rank)]
    assert dealt == [range(48, 52), range(52, 56), range(56, 60), range(60, 64)]


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_take_turns_in_validation(toy, processes):
    dealing = plan(toy, 16, 4, processes, validated=15)
    dealt = [numbers for rank in range(processes) for numbers in dealing.validation_numbers(rank)]
    starts = [FIRST_VALIDATION_NUMBER + 4 * group for group in ((0, 1, 2) if processes == 1 else (0, 2, 1))]
    assert dealt == [range(start, start + 4) for start in starts]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((320, 48, 1), "train.group_batch: 48 does not divide train.global_batch 320; nearest that do: 40 or 64"),
        ((320, 640, 1), "nearest that do: 320$"),
        ((320, 40, 3), "3 processes cannot share 8 groups of 40 evenly .*nearest that can: 2 or 4"),
        ((320, 40, 16), "nearest that can: 8$"),
    ],
)
def test_what_does_not_divide_names_the_nearest_that_does(toy, sizes, message):
    with pytest.raises(ConfigError, match=message):
        plan(toy, *sizes)


def test_statistics_are_remembered_only_where_they_should_be():
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
