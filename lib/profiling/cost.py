"""Cost of a network, counted rather than timed: parameters, and multiply-adds for one target and for one frame."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lib.models.base import TrackingModel

# Products of activations with each other. Everything else that is counted multiplies activations with weights.
_PRODUCTS = {torch.ops.aten.bmm, torch.ops.aten.baddbmm}


@dataclass(frozen=True)
class Work:
    """Multiply-adds of one pass over one sample.

    ``layers``: linear layers and convolutions; counters by module, such as thop (used for OSTrack's figures), see only
    these. ``attention``: products of queries with keys and of weights with values. Norms, activations, softmax and
    resizing are not counted, as in the papers.
    """

    layers: int
    attention: int

    @property
    def total(self) -> int:
        """Both kinds."""
        return self.layers + self.attention

    def __add__(self, other: "Work") -> Self:
        return Work(self.layers + other.layers, self.attention + other.attention)


@dataclass(frozen=True)
class Cost:
    """``parameters`` of the network when it tracks, without running statistics; released files may hold more that no
    network uses. ``template``: the work for a target, once; ``frame``: the work for every frame after it."""

    parameters: int
    template: Work
    frame: Work

    @property
    def both(self) -> Work:
        """Template and search region in one pass, as papers count."""
        return self.template + self.frame


def count_cost(build: Callable[[], TrackingModel], template_size: int, search_size: int) -> Cost:
    """The cost of the network that ``build`` makes, folded as for tracking, for square crops of these sides in
    pixels and one sample.

    It is made and run with fake tensors, which have shapes and no values: a ViT-L takes no memory and two seconds.
    """
    with torch.device("meta"):
        model = build().eval()
    # Meta tensors have no autocast, which heads switch off; fake ones pass for a processor's.
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = model.to_empty(device="cpu")
        model.fold()
        box = torch.tensor([[0.25, 0.25, 0.5, 0.5]])
        template, search = (torch.zeros(1, 3, size, size) for size in (template_size, search_size))
        state, template_work = _count(partial(model.encode_template, template, box))
        _, frame_work = _count(partial(model.locate, state, search))
        parameters = sum(parameter.numel() for parameter in model.parameters())
    return Cost(parameters, template_work, frame_work)


def _count(compute: Callable[[], Any]) -> tuple[Any, Work]:
    """The result of ``compute``, and its work.

    PyTorch's counter has no formula for the fused attention of CPUs, so attention runs as plain matrix products here.
    Gradients are left on: without them a linear layer of strided tokens becomes a batch of products, like attention's.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        result = compute()
    # Each multiply-add is counted as two floating point operations.
    operations = {name: count // 2 for name, count in counter.get_flop_counts()["Global"].items()}
    attention = sum(count for name, count in operations.items() if name in _PRODUCTS)
    return result, Work(sum(operations.values()) - attention, attention)
