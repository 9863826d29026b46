"""Folds BatchNorm into convolutions for inference: the same outputs with fewer passes over memory."""

from collections import defaultdict

import torch
from timm.layers import BatchNormAct2d, Conv2dSame
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

# Exact types: subclasses may convolve with other weights than their own.
_CONVOLUTIONS = (nn.Conv2d, Conv2dSame)


@torch.no_grad()
def fold_norms(network: nn.Module, *example: Tensor) -> None:
    """Folds, in place, each BatchNorm whose only input is the output of one convolution, if no other module reads it.

    ``network``, in eval mode, is called with ``example`` to find the pairs; activations stay. An operation outside of
    modules, such as an addition, is not seen as a reader: test the outputs of every network that is folded.
    """
    assert not network.training, "BatchNorm's statistics are folded, so the network must be in eval mode"
    outputs: list[tuple[Tensor, nn.Module]] = []
    taken_by, taken_from = defaultdict(set), defaultdict(set)

    def convolved(convolution: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        outputs.append((output, convolution))

    def taken(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        for given in inputs:
            source = next((convolution for output, convolution in outputs if output is given), None)
            taken_from[module].add(source)
            taken_by[source].add(module)

    modules = [module for module in network.modules() if not [*module.children()] or isinstance(module, BatchNormAct2d)]
    hooks = [module.register_forward_hook(convolved) for module in modules if type(module) in _CONVOLUTIONS]
    hooks += [module.register_forward_pre_hook(taken) for module in modules]
    try:
        network(*example)
    finally:
        for hook in hooks:
            hook.remove()
    for parent in [*network.modules()]:
        for name, norm in [*parent.named_children()]:
            sources = taken_from.get(norm, set())
            source = next(iter(sources), None)
            if len(sources) == 1 and source is not None and taken_by[source] == {norm} and _is_plain(norm):
                source.weight, source.bias = fuse_conv_bn_weights(
                    source.weight, source.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
                )
                setattr(parent, name, norm.act if isinstance(norm, BatchNormAct2d) else nn.Identity())


def _is_plain(module: nn.Module) -> bool:
    """Whether a module is BatchNorm with running statistics and at most an activation after it."""
    if type(module) is BatchNormAct2d:
        return module.track_running_stats and isinstance(module.drop, nn.Identity)
    return type(module) is nn.BatchNorm2d and module.track_running_stats
