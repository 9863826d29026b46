"""The MLP head: a class and a box from each cell's own vector."""

import torch
from torch import Tensor, nn

from lib.models.base import MLPPrediction


class MLPHead(nn.Module):
    """Two perceptrons with two hidden layers, one for classes and one for boxes (TransT's head); published names.

    Boxes are cxcywh in fractions of the crop, not relative to the cell. Runs in float32 also under autocast.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.class_embed = Perceptron(width, channels, 2)
        self.bbox_embed = Perceptron(width, channels, 4)

    def forward(self, features: Tensor) -> MLPPrediction:
        """``features`` ``[B, C, F, F]``."""
        with torch.autocast(features.device.type, enabled=False):
            vectors = features.float().flatten(2).transpose(1, 2)
            logits, boxes = self.class_embed(vectors), self.bbox_embed(vectors).sigmoid()
            return MLPPrediction(boxes, logits.softmax(dim=-1)[..., 0], logits, extras={})


class Perceptron(nn.Module):
    """Three linear layers, with an activation after the first two."""

    activation = staticmethod(nn.functional.relu)

    def __init__(self, width: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, outputs)])

    def forward(self, vectors: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            vectors = self.activation(layer(vectors))
        return self.layers[-1](vectors)
