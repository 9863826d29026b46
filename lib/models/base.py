"""What every tracking network answers: which boxes might hold the target in this crop, with what score each."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


class Prediction(NamedTuple):
    """N candidate boxes a sample: ``boxes`` ``[B, N, 4]`` cxcywh in fractions of the crop, ``scores`` ``[B, N]``."""

    boxes: Tensor
    scores: Tensor


class CenterPrediction(NamedTuple):
    """A ``Prediction`` of a centre head on an F x F grid, N = F * F in row-major order, with the maps that training
    supervises, and what the token division decided.

    * ``score_map`` ``[B, 1, F, F]`` in (0, 1); ``size_map`` ``[B, 2, F, F]`` w, h in fractions; ``offset_map``
      ``[B, 2, F, F]`` x, y in cells.
    * ``interacts``: float ``[B, blocks, Nx]``, 1 where a search token meets the template too (kind A), 0 where it stays
      among search tokens (kind S), for each block that divides; ``[B, 0, Nx]`` in a model that never divides.
    * ``division_log_probs``: ``[B, blocks, Nx, 2]`` log-probabilities of (S, A).
    """

    boxes: Tensor
    scores: Tensor
    score_map: Tensor
    size_map: Tensor
    offset_map: Tensor
    interacts: Tensor
    division_log_probs: Tensor


def normalise(images: Tensor, gains: Tensor | None = None) -> Tensor:
    """Network input from RGB images: uint8 ``[B, 3, H, W]`` -> float32, ImageNet mean 0 and deviation 1 a channel.

    ``gains`` ``[B]`` are brightness factors: the image is multiplied by ``gain / 255`` and clamped to [0, 1] before the
    mean is taken off, as in the lineage's training code. Padding is 0 before normalisation, in training and test.
    """
    pixels = images.float()
    pixels = pixels / 255 if gains is None else (pixels * (gains.float() / 255)[:, None, None, None]).clamp(0, 1)
    mean = torch.tensor(IMAGE_MEAN, device=images.device)[None, :, None, None]
    std = torch.tensor(IMAGE_STD, device=images.device)[None, :, None, None]
    return (pixels - mean) / std


class TrackingModel(nn.Module):
    """A network that is shown a target once and then finds it in crops. It remembers nothing between calls."""

    @abstractmethod
    def encode_template(self, template: Tensor, box: Tensor) -> Any:
        """State of the target: a tensor or a tuple of tensors with a leading batch axis.

        ``template`` ``[B, 3, Hz, Wz]`` normalised; ``box`` ``[B, 4]`` xywh in fractions of the template crop.
        """

    @abstractmethod
    def locate(self, state: Any, search: Tensor) -> Prediction:
        """Candidate boxes in ``search`` ``[B, 3, Hx, Wx]``, normalised."""

    @abstractmethod
    def parameter_groups(self) -> dict[str, list[str]]:
        """Every trainable parameter's name, once, under the group name that ``train.lr_factors`` may scale."""

    def forward(self, template: Tensor, box: Tensor, search: Tensor) -> Prediction:
        """``encode_template`` and ``locate`` in turn, so that training and tracking share one path."""
        return self.locate(self.encode_template(template, box), search)
