"""LoRAT networks with the weights that the recorded numbers were made with."""

import torch
from reference_weights import filled_state_dict, key_table
from torch import Tensor

from lib.models.layers.lora import LoRAConfig
from lib.models.lorat import LoRAT, LoRATConfig

# Sides of template and search crops.
SIZES = {"224": (112, 224), "378": (196, 378)}


def filled(table: str, without: str = "(?!)") -> dict[str, Tensor]:
    """The rule ``alt_rule`` of the recorded file: LayerScale and boxes that matter, updates of a usual size. Entries
    that the pattern ``without`` matches are left out."""
    entries = key_table(table)
    weights = filled_state_dict(table, 0, without)
    for name, value in weights.items():
        if name.endswith(".gamma"):
            value *= 6
        elif name.endswith(".lora.B"):
            value *= 0.5
        elif name == "head.reg_mlp.layers.2.bias":
            value -= 2
        elif "value" in entries[name]:
            weights[name] = torch.tensor(entries[name]["value"])
    return weights


def built(size: str = "224", **lora) -> LoRAT:
    config = LoRATConfig(name="lorat", pretrained="none", lora=LoRAConfig(**lora))
    return LoRAT(config, *SIZES[size]).eval()
