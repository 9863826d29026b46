"""What every tracking network answers: which boxes might hold the target in this crop, with what score each."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor, nn

from lib.config.schema import Section

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


class Prediction(NamedTuple):
    """N candidate boxes a sample: ``boxes`` ``[B, N, 4]`` cxcywh in fractions of the crop, ``scores`` ``[B, N]``.

    The predictions of all heads begin with these fields. ``extras``, their last, holds by name what the network
    decided on its way; each family says what that is.
    """

    boxes: Tensor
    scores: Tensor


class CenterPrediction(NamedTuple):
    """A ``Prediction`` of a center head on an F x F grid, N = F * F in row-major order, with the maps that training
    supervises: ``score_map`` ``[B, 1, F, F]`` in (0, 1); ``size_map`` ``[B, 2, F, F]`` w, h in fractions;
    ``offset_map`` ``[B, 2, F, F]`` x, y in cells."""

    boxes: Tensor
    scores: Tensor
    score_map: Tensor
    size_map: Tensor
    offset_map: Tensor
    extras: dict[str, Tensor]


class CornerPrediction(NamedTuple):
    """A ``Prediction`` of a corner head, N = 1: the expectation of two maps over the cells of an F x F grid.

    ``top_left`` and ``bottom_right`` ``[B, F, F]`` are the maps before the softmax. The score is the product of the two
    corners' largest probabilities, which nothing is trained on and no published tracker reports.
    """

    boxes: Tensor
    scores: Tensor
    top_left: Tensor
    bottom_right: Tensor
    extras: dict[str, Tensor]


class MLPPrediction(NamedTuple):
    """A ``Prediction`` of an MLP head: every cell of an F x F grid says, for itself, whether it lies on the target and
    where the box is; N = F * F, row-major. ``logits`` ``[B, N, 2]``, target first and background second, as TransT has
    them; the scores are their softmax's first entry."""

    boxes: Tensor
    scores: Tensor
    logits: Tensor
    extras: dict[str, Tensor]


class DistancePrediction(NamedTuple):
    """A ``Prediction`` of a distance head: every cell of an F x F grid gives a score and a box of its own, N = F * F,
    row-major. ``logits`` ``[B, N]``, whose sigmoid are the scores; ``corners`` ``[B, N, 4]``, the boxes as xyxy in
    fractions of the crop."""

    boxes: Tensor
    scores: Tensor
    logits: Tensor
    corners: Tensor
    extras: dict[str, Tensor]


HeadPrediction = CenterPrediction | CornerPrediction | MLPPrediction | DistancePrediction


def normalize(images: Tensor, gains: Tensor | None = None) -> Tensor:
    """Network input from RGB images: uint8 ``[B, 3, H, W]`` -> float32, ImageNet mean 0 and deviation 1 a channel.

    ``gains`` ``[B]`` are brightness factors: the image is multiplied by ``gain / 255`` and clamped to [0, 1] before the
    mean is taken off, as in the lineage's training code. Padding is 0 before normalization, in training and test.
    """
    pixels = images.float()
    pixels = pixels / 255 if gains is None else (pixels * (gains.float() / 255)[:, None, None, None]).clamp(0, 1)
    mean = torch.tensor(IMAGE_MEAN, device=images.device)[None, :, None, None]
    std = torch.tensor(IMAGE_STD, device=images.device)[None, :, None, None]
    return (pixels - mean) / std


class FamilyConfig(Section):
    """Section ``model``. ``pretrained``: initial weights by file or by a library's name, or ``none`` (see
    ``lib.models.weights.initial``). Each family adds ``name``, a ``backbone`` (a ``BackboneConfig``) and a ``head``."""

    pretrained: str

    @property
    def stride(self) -> int:
        """Pixels of a crop along one cell of the network's grid."""
        return self.backbone.stride

    def folded(self) -> FamilyConfig:
        """The configuration of the network after ``TrackingModel.fold``; its own if nothing changes its names."""
        return self

    def misfits(self, template_size: int, search_size: int) -> list[str]:
        """What else of the network does not fit crops of these sizes, each as ``key: what is wrong and the remedy``."""
        return []

    def changing_shapes(self) -> str:
        """Why tensors inside the network change their shapes in the course of training, which ``train.compile`` does
        not allow; "" if they do not."""
        return ""


class TrackingModel(nn.Module):
    """A network that is shown a target once and then finds it in crops. It remembers nothing between calls.

    ``epoch`` is the number of the training epoch, from 0, for what a schedule changes while training; it is passed on
    by the actor, in training and validation, and None stands for the trained network. ``family`` is the record that the
    network's class belongs to.
    """

    family: Family

    @abstractmethod
    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor, ...]:
        """State of the target: a tuple of tensors with a leading batch axis.

        ``template`` ``[B, 3, Hz, Wz]`` normalized; ``box`` ``[B, 4]`` xywh in fractions of the template crop.
        """

    @abstractmethod
    def locate(self, state: tuple[Tensor, ...], search: Tensor, epoch: int | None = None) -> Prediction:
        """Candidate boxes in ``search`` ``[B, 3, Hx, Wx]``, normalized."""

    def parameter_groups(self) -> dict[str, list[str]]:
        """Every trained parameter's name, once, under the family's group that ``train.optimizer.lr_factors`` may scale.
        A group whose parameters are all frozen is empty."""
        groups: dict[str, list[str]] = {group: [] for group in self.family.groups}
        trained = [name for name, parameter in self.named_parameters() if parameter.requires_grad]
        for name in trained:
            group = next((group for group, pattern in self.family.groups.items() if re.match(pattern, name)), None)
            assert group is not None, f"{type(self).__name__}: no optimizer group has a pattern for {name}"
            groups[group].append(name)
        return groups

    def fold(self) -> None:
        """Folds for inference, in place, what only training keeps apart; the function stays the same. Nothing by
        default."""

    def check_released(self, weights: Mapping[str, Tensor]) -> None:
        """Raises ``ValueError`` if published weights, under their own names, state settings that are not this
        network's. Nothing by default."""

    def monitors(self, prediction: Prediction) -> dict[str, Tensor]:
        """What is worth logging of a prediction beside the loss, scalars or vectors by name."""
        return {}

    def forward(self, template: Tensor, box: Tensor, search: Tensor, epoch: int | None = None) -> Prediction:
        """``encode_template`` and ``locate`` in turn, so that training and tracking share one path."""
        return self.locate(self.encode_template(template, box), search, epoch)


class TokenMap(NamedTuple):
    """Values of the search tokens for pictures: ``values`` ``[B, stages, Nx]``, row-major on a square grid, the names
    of the ``stages``, such as ``block 2``, and a ``meaning``.

    bool values are a decision, and the meaning completes "these tokens ..."; float values are a quantity that the
    meaning names.
    """

    values: Tensor
    stages: tuple[str, ...]
    meaning: str


def under_our_names(weights: Mapping[str, Tensor], owned: frozenset[str]) -> dict[str, Tensor]:
    """Weights of a family that was published under our names, or never."""
    return dict(weights)


def nothing_frozen(config: Any) -> tuple[str, ...]:
    """The patterns of frozen parameters of a family that trains them all."""
    return ()


def no_attention(model: Any) -> Mapping[str, nn.Module]:
    """The modules of a family without attention that can be drawn."""
    return {}


@dataclass(frozen=True)
class Family:
    """All that other files need to know of a family of networks; each family's file ends with its record.

    Patterns are regular expressions that must fit the beginning of a parameter's name.

    * ``config``: the class of its section ``model``, whose field ``name`` is a literal, the family's name.
    * ``build``: the class of the network, called with that configuration and the sizes in pixels of the template's and
      the search region's crops. The record is its attribute ``family``.
    * ``from_released``: weights under the names that were published, and the names that the network owns -> weights
      under our names; the names are the same by default.
    * ``groups``: the optimizer's parameter groups and the pattern of each, in the optimizer's order. The first pattern
      that fits a name counts, and each parameter must have one. ``backbone`` and ``head``, the rest, by default.
    * ``frozen``: from the network's configuration, the patterns of the parameters that training leaves as they are,
      beside those of ``train.frozen``. Their BatchNorm layers stay in eval form.
    * ``fresh``: patterns of names inside ``backbone`` that no image network has.
    * ``test_time``: dotted keys below ``model`` that leave the weights alone, so that their values may differ by
      benchmark and may be swept.
    * ``token_maps``: by name, what can be drawn of the network's decisions, from the network and a prediction's
      ``extras``.
    * ``attention``: from the network, by stage, the modules whose attention from the target to the search region can be
      drawn; see ``lib.models.attention.recorded_attention``.
    """

    config: type[FamilyConfig]
    build: type[TrackingModel]
    from_released: Callable[[Mapping[str, Tensor], frozenset[str]], dict[str, Tensor]] = under_our_names
    groups: Mapping[str, str] = field(default_factory=lambda: {"backbone": r"backbone\.", "head": ""})
    frozen: Callable[[Any], tuple[str, ...]] = nothing_frozen
    fresh: tuple[str, ...] = ()
    test_time: tuple[str, ...] = ()
    token_maps: Mapping[str, Callable[[Any, Mapping[str, Tensor]], TokenMap]] = field(default_factory=dict)
    attention: Callable[[Any], Mapping[str, nn.Module]] = no_attention

    def __post_init__(self) -> None:
        self.build.family = self

    @property
    def name(self) -> str:
        """The value of ``model.name``."""
        return get_args(self.config.model_fields["name"].annotation)[0]

    def is_fresh(self, name: str) -> bool:
        """Whether weights of image networks lack the parameter or buffer ``name`` by nature."""
        return not name.startswith("backbone.") or any(re.match(pattern, name) for pattern in self.fresh)
