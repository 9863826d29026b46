"""The interface of tracking networks: a network gives the candidate boxes of a target in a crop, with their scores."""

import re
from abc import abstractmethod
from collections import abc
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self, get_args

import torch
from torch import Tensor, nn

from lib.config.schema import Section
from lib.models.heads.base import Prediction
from lib.models.heads.registry import HeadPrediction

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
# The type in which autocast runs a network, by precision.
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Normalize(nn.Module):
    """Network input from RGB images ``[B, 3, H, W]`` of 0 to 255, uint8 or float32: float32 with ImageNet's mean and
    deviation removed.

    ``gains`` ``[B]`` are brightness factors: images are multiplied by ``gain / 255`` and clamped to [0, 1] first, as in
    the lineage's training code. Padding is 0 before normalization, in training and test.
    """

    def __init__(self) -> None:
        super().__init__()
        for name, values in (("mean", IMAGE_MEAN), ("std", IMAGE_STD)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, images: Tensor, gains: Tensor | None = None) -> Tensor:
        pixels = images.to(torch.float32, copy=True)  # the only allocation; the rest is in place
        if gains is None:
            pixels.div_(255)
        else:
            pixels.mul_((gains.float() / 255)[:, None, None, None]).clamp_(0, 1)
        return pixels.sub_(self.mean).div_(self.std)


class Backbone(nn.Module):
    """A network whose tokens or features have ``width`` channels."""

    width: int

    def from_image_weights(self, weights: abc.Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights that it takes from an image network, renamed from timm's names (torchvision's for a ResNet) to
        its own. By default those whose names both networks have."""
        own = self.state_dict()
        return {name: value for name, value in weights.items() if name in own}


class BackboneConfig(Section):
    """The configuration of a backbone. Its field or property ``stride`` is the stride of the grid in crop pixels; crop
    sizes must be multiples of it."""

    @abstractmethod
    def build(self, template_size: int, search_size: int) -> Backbone:
        """The network with fresh weights, for square crops of these sizes in pixels."""


class FamilyConfig(Section):
    """Section ``model``. ``pretrained``: initial weights by file or by a library's name, or ``none`` (see
    ``lib.models.weights.initial``). Each family adds ``name``, a ``backbone`` (a ``BackboneConfig``) and a ``head``."""

    pretrained: str

    @property
    def stride(self) -> int:
        """Stride of the search grid in crop pixels; crop sizes must be multiples of it."""
        return self.backbone.stride

    def folded(self) -> Self:
        """The configuration of the network after ``TrackingModel.fold``."""
        return self

    def misfits(self, template_size: int, search_size: int, compiled: bool) -> list[str]:
        """Other reasons why the network does not fit crops of these sizes or, if ``compiled``, training through
        ``torch.compile``; each as ``key: fault and remedy``."""
        return []


class TrackingModel(nn.Module):
    """A network that encodes a template once and then finds the target in search crops. It keeps no state of its own.

    A subclass builds its ``backbone`` and its ``box_head`` (``build_head``). ``template_grid`` and ``search_grid`` are
    the sides of both grids in cells. ``epoch`` is the number of the training epoch, from 0, for schedules inside the
    network; None means trained. ``family`` is the record of the network's family.
    """

    family: "Family"

    def __init__(self, config: FamilyConfig, template_size: int, search_size: int) -> None:
        super().__init__()
        self.template_grid, self.search_grid = template_size // config.stride, search_size // config.stride

    @abstractmethod
    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor, ...]:
        """The target's state: tensors with a leading batch axis.

        ``template`` ``[B, 3, Hz, Wz]`` normalized; ``box`` ``[B, 4]`` xywh in fractions of the template crop.
        """

    @abstractmethod
    def locate(self, state: tuple[Tensor, ...], search: Tensor, epoch: int | None = None) -> Prediction:
        """Candidate boxes in ``search`` ``[B, 3, Hx, Wx]``, normalized."""

    def forward(self, template: Tensor, box: Tensor, search: Tensor, epoch: int | None = None) -> Prediction:
        """``encode_template`` and ``locate`` in turn, so that training and tracking share one path."""
        return self.locate(self.encode_template(template, box), search, epoch)

    def run_head(self, tokens: Tensor) -> HeadPrediction:
        """The head on search tokens ``[B, Nx, C]``, row-major."""
        return self.box_head(tokens.transpose(1, 2).unflatten(2, (self.search_grid, self.search_grid)))

    def parameter_groups(self) -> dict[str, list[str]]:
        """The names of trained parameters by the family's groups (``Family.groups``). A group whose parameters are all
        frozen is empty."""
        groups: dict[str, list[str]] = {group: [] for group in self.family.groups}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                group = next((group for group, pattern in self.family.groups.items() if re.match(pattern, name)), None)
                assert group is not None, f"{type(self).__name__}: no optimizer group has a pattern for {name}"
                groups[group].append(name)
        return groups

    def fold(self) -> None:
        """Merges, in place, layers that only training needs apart; the outputs stay the same. Nothing by default."""

    def check_released(self, weights: abc.Mapping[str, Tensor]) -> None:
        """Raises ``ValueError`` if published weights, under their own names, state other settings than this network
        has. Nothing by default."""

    def monitors(self, prediction: Prediction) -> dict[str, Tensor]:
        """Values to log beside the loss, scalars or vectors by name."""
        return {}


class TokenMap(NamedTuple):
    """Values of the search tokens for pictures: ``values`` ``[B, stages, Nx]``, row-major on a square grid, the names
    of the ``stages``, such as ``block 2``, and a ``meaning``.

    bool values are a decision; the meaning completes the sentence "these tokens ...". float values are a quantity; the
    meaning is its name.
    """

    values: Tensor
    stages: tuple[str, ...]
    meaning: str


@dataclass(frozen=True)
class Family:
    """The record of a family of networks, at the end of its file. Other files use nothing else of the family.

    Patterns are regular expressions that must match the beginning of a parameter's name.

    * ``config``: the class of its section ``model``, whose field ``name`` is a literal, the family's name.
    * ``network``: the class of the network, called with that configuration and the sizes in pixels of template and
      search crop. The record becomes its attribute ``family``.
    * ``released``: patterns in published names with what replaces each, in turn, to get ours; None leaves such weights
      out (``lib.models.weights.renaming.replaced``).
    * ``image_names``: a function that renames published weights of the backbone, after ``released``; its names have no
      ``backbone.`` in front.
    * ``optional``: patterns of published weights that a network may lack; they are left out if it has no such name.
    * ``groups``: the optimizer's parameter groups with the pattern of each, in order; the first match counts.
      ``backbone`` and ``head`` (the rest) by default.
    * ``frozen``: the patterns of frozen parameters, from the network's configuration; ``train.frozen`` may add others.
    * ``fresh``: patterns of names inside ``backbone`` that no image network has.
    * ``test_time``: dotted keys below ``model`` that change no weight; they may differ by benchmark and be swept.
    * ``token_maps``: functions by name that turn the network and a prediction's ``extras`` into a map for pictures.
    * ``attention``: a function of the network that returns, by stage, the modules whose attention from the target to
      the search region can be drawn; see ``lib.models.attention.recorded_attention``.
    """

    config: type[FamilyConfig]
    network: type[TrackingModel]
    released: abc.Mapping[str, str | None] = field(default_factory=dict)
    image_names: abc.Callable[[abc.Mapping[str, Tensor]], dict[str, Tensor]] = dict
    optional: tuple[str, ...] = ()
    groups: abc.Mapping[str, str] = field(default_factory=lambda: {"backbone": r"backbone\.", "head": ""})
    frozen: abc.Callable[[Any], tuple[str, ...]] = lambda config: ()
    fresh: tuple[str, ...] = ()
    test_time: tuple[str, ...] = ()
    token_maps: abc.Mapping[str, abc.Callable[[Any, abc.Mapping[str, Tensor]], TokenMap]] = field(default_factory=dict)
    attention: abc.Callable[[Any], abc.Mapping[str, nn.Module]] = lambda model: {}

    def __post_init__(self) -> None:
        self.network.family = self  # so that a network knows its record, which is made after its class

    @property
    def name(self) -> str:
        """The value of ``model.name``."""
        return get_args(self.config.model_fields["name"].annotation)[0]

    def is_fresh(self, name: str) -> bool:
        """Whether no image network has the parameter or buffer ``name``."""
        return not name.startswith("backbone.") or any(re.match(pattern, name) for pattern in self.fresh)
