"""A training step in each precision, and the memory that it keeps."""

import pytest
import torch
from families import tiny
from torch import nn

from lib.profiling.training import kept_bytes, make_group, time_training


@pytest.mark.slow
@pytest.mark.parametrize("family", ["grm", "lorat"])
def test_both_precisions_are_timed(family):
    fp32, bf16 = time_training(tiny(family), 2, torch.device("cpu"))
    assert (fp32["precision"], bf16["precision"]) == ("fp32", "bf16")
    for row in (fp32, bf16):
        assert row["group"] == 2 and row["peak"] is None
        assert row["ms/pair"] > 0 and row["processor"] > 0
    assert 0 < bf16["kept"] < fp32["kept"]


def test_tensors_for_the_backward_pass_are_counted_once():
    """Of two layers: the input, and the tensor between them once, though the activation and the layer keep it."""
    first, second = nn.Linear(8, 16, bias=False), nn.Linear(16, 4, bias=False)
    network, data = nn.Sequential(first, nn.ReLU(), second), torch.rand(32, 8)
    assert kept_bytes(network, lambda: network(data)) == 4 * 32 * (8 + 16)


def test_a_group_has_the_experiments_sizes():
    experiment = tiny("stark_sv")
    batch = make_group(experiment, 3)
    assert len(batch) == 3
    assert batch.template.shape == (3, 3, experiment.template.size, experiment.template.size)
    assert batch.search.shape == (3, 3, experiment.search.size, experiment.search.size)
    for box in (*batch.template_box, *batch.search_box):
        assert (box > 0).all() and (box[:2] + box[2:] < 1).all()
