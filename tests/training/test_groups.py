from __future__ import annotations

import pytest
import torch
from torch import nn

from lib.config.schema import ConfigError
from lib.training.groups import Layout, running_statistics


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_take_contiguous_blocks_of_the_same_groups(processes):
    layout = Layout(global_batch=16, group_batch=4, processes=processes)
    assert layout.local_groups * processes == layout.groups == 4
    dealt = [numbers for rank in range(processes) for numbers in layout.numbers(3, rank)]
    assert dealt == [range(48, 52), range(52, 56), range(56, 60), range(60, 64)]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((320, 48, 1), "train.group_batch: 48 does not divide train.global_batch 320; nearest that do: 40 or 64"),
        ((320, 640, 1), "nearest that do: 320$"),
        ((320, 40, 3), "3 processes cannot share 8 groups of 40 evenly .*nearest that can: 2 or 4"),
        ((320, 40, 16), "nearest that can: 8$"),
    ],
)
def test_what_does_not_divide_names_the_nearest_that_does(sizes, message):
    with pytest.raises(ConfigError, match=message):
        Layout(*sizes)


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
