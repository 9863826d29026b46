"""LoRA (Hu et al., ICLR 2022): linear layers with a frozen weight and a trained low-rank update, and merging them.

Names are LoRAT's: ``linear`` for the layer, ``lora.A`` and ``lora.B`` for its update. The joint projection to queries,
keys and values becomes three layers ``q``, ``k`` and ``v``.
"""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from lib.config.schema import Section

LoRALayer = Literal["q", "k", "v", "proj", "fc1", "fc2"]


class LoRAConfig(Section):
    """Low-rank updates of a transformer's linear layers.

    * ``enabled``: false means no updates: full fine-tuning, or a merged network.
    * ``rank`` and ``alpha``: the update is B A times alpha / rank; ``rslora``: times alpha / sqrt(rank).
    * ``layers``: queries, keys, values and output projection of the attention; both layers of the MLP.
    * ``init``: "bert", both matrices normal with deviation 0.02, so the network starts slightly off its pretrained
      weights (LoRAT); "lora", A uniform (Kaiming) and B zero; "gaussian", A normal with deviation 1 / rank and B zero.
    """

    enabled: bool = True
    rank: PositiveInt = 64
    alpha: PositiveFloat = 64.0
    rslora: bool = False
    layers: tuple[LoRALayer, ...] = Field(default=("q", "k", "v", "proj", "fc1", "fc2"), min_length=1)
    init: Literal["bert", "lora", "gaussian"] = "bert"

    @property
    def scaling(self) -> float:
        """The factor of the product of the two matrices."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


class LowRank(nn.Module):
    """The update of a layer: A ``[rank, inputs]`` and B ``[outputs, rank]``."""

    def __init__(self, inputs: int, outputs: int, config: LoRAConfig) -> None:
        super().__init__()
        self.A = nn.Parameter(torch.zeros(config.rank, inputs))
        self.B = nn.Parameter(torch.zeros(outputs, config.rank))
        self.scaling = config.scaling
        if config.init == "bert":
            nn.init.trunc_normal_(self.A, std=0.02)
            nn.init.trunc_normal_(self.B, std=0.02)
        elif config.init == "lora":
            nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        else:
            nn.init.normal_(self.A, std=1 / config.rank)

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens @ self.A.T @ self.B.T * self.scaling

    def weight(self) -> Tensor:
        """The update as one matrix ``[outputs, inputs]``, in float32."""
        return (self.B.float() @ self.A.float()) * self.scaling


class LoRALinear(nn.Module):
    """``linear`` and an update of its output."""

    def __init__(self, linear: nn.Linear, config: LoRAConfig) -> None:
        super().__init__()
        self.linear = linear
        self.lora = LowRank(linear.in_features, linear.out_features, config)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.linear(tokens) + self.lora(tokens)

    def merged(self) -> nn.Linear:
        """The equal linear layer."""
        weight = self.linear.weight
        return _linear((weight.float() + self.lora.weight()).to(weight.dtype), self.linear.bias)


class LoRAQKV(nn.Module):
    """The projection to queries, keys and values as three layers, those in ``config.layers`` with an update."""

    def __init__(self, qkv: nn.Linear, config: LoRAConfig) -> None:
        super().__init__()
        for name, weight, bias in zip("qkv", qkv.weight.data.chunk(3), qkv.bias.data.chunk(3), strict=True):
            part = _linear(weight.clone(), bias.clone())
            setattr(self, name, LoRALinear(part, config) if name in config.layers else part)

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.cat([self.q(tokens), self.k(tokens), self.v(tokens)], dim=-1)

    def merged(self) -> nn.Linear:
        """The equal linear layer."""
        parts = [part.merged() if isinstance(part, LoRALinear) else part for part in (self.q, self.k, self.v)]
        return _linear(torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts]))


def add_lora(blocks: nn.Module, config: LoRAConfig) -> None:
    """Adds updates, in place, to the linear layers of transformer blocks (timm's names) that ``config`` lists."""
    for block in list(blocks.modules()):
        for name, layer in list(block.named_children()):
            if not isinstance(layer, nn.Linear):
                continue
            if name == "qkv" and set("qkv") & set(config.layers):
                setattr(block, name, LoRAQKV(layer, config))
            elif name in config.layers:
                setattr(block, name, LoRALinear(layer, config))


def merge_lora(module: nn.Module) -> None:
    """Replaces each layer with an update, in place, by the equal linear layer, under its plain name."""
    for parent in list(module.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, (LoRALinear, LoRAQKV)):
                setattr(parent, name, layer.merged())


def plain_as_lora(weights: Mapping[str, Tensor], owned: frozenset[str]) -> dict[str, Tensor]:
    """Weights of plain layers under the ``owned`` names of a network with updates; a joint projection is split into the
    three of ``LoRAQKV``."""
    result = {}
    for name, value in weights.items():
        layer, _, kind = name.rpartition(".")
        parts = {layer: value}
        if layer.endswith("qkv") and name not in owned:
            parts = {f"{layer}.{part}": third for part, third in zip("qkv", value.chunk(3), strict=True)}
        for part, content in parts.items():
            wrapped = f"{part}.linear.{kind}"
            result[wrapped if wrapped in owned else f"{part}.{kind}"] = content
    return result


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A trainable linear layer with this weight ``[outputs, inputs]`` and bias."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, weight.device, weight.dtype)
    layer.weight = nn.Parameter(weight.detach())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach())
    return layer
