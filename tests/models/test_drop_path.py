"""Drop path in DINOv2's blocks, by sample and by parts of the batch."""

import pytest
import torch
from torch import Tensor

from lib.models.backbones.dinov2 import DINOv2Block, DINOv2Config


def block(rate: float) -> DINOv2Block:
    torch.manual_seed(0)
    return DINOv2Block(DINOv2Config(width=16, depth=1, heads=2, drop_path=rate)).train()


@pytest.fixture
def tokens() -> Tensor:
    return torch.randn(10, 3, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("rate", "kept"), [(0.4, 6), (0.15, 8), (0.95, 1)])
def test_above_a_tenth_a_branch_is_computed_for_a_part_of_the_batch(tokens, rate, kept):
    """Each half by hand, with the rows that the seed gives; the rows of both halves are drawn apart."""
    module, seen = block(rate), []
    module.attn.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[0]))
    module.mlp.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[0]))
    torch.manual_seed(5)
    found = module(tokens)
    assert seen == [kept, kept]
    torch.manual_seed(5)
    rows = [torch.randperm(10)[:kept] for _ in range(2)]
    assert sorted(rows[0].tolist()) != sorted(rows[1].tolist())
    expected = tokens.clone()
    branches = (lambda x: module.ls1(module.attn(module.norm1(x))), lambda x: module.ls2(module.mlp(module.norm2(x))))
    for chosen, branch in zip(rows, branches, strict=True):
        expected[chosen] = expected[chosen] + branch(expected[chosen]) * 10 / kept
    assert torch.allclose(found, expected, atol=1e-6)


def test_up_to_a_tenth_samples_are_dropped_one_by_one(tokens):
    module, seen = block(0.1), []
    module.mlp.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[0]))
    module(tokens)
    assert seen == [10]


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_nothing_is_dropped_in_eval_form(tokens, rate):
    assert torch.equal(block(rate).eval()(tokens), block(0.0)(tokens))


def test_every_parameter_learns_and_the_type_of_the_tokens_stays_under_autocast(tokens):
    module = block(0.4)
    with torch.autocast("cpu", torch.bfloat16):
        found = module(tokens.requires_grad_())
    assert found.dtype == torch.float32
    found.square().sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    assert tokens.grad.abs().sum(dim=(1, 2)).min() > 0
