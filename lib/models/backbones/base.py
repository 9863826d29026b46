"""What every backbone has, so that a family can take one for another and image weights find their way into any."""

from __future__ import annotations

from abc import abstractmethod

from torch import nn

from lib.config.schema import Section


class BackboneConfig(Section):
    """A backbone's configuration. It has ``stride``, a field or a property: pixels of a crop along one cell of the
    grid. The crops' sizes must be multiples of it. The module that it builds has

    * ``width``: channels of the tokens or features that it gives,
    * ``from_image_weights(weights) -> weights``: the part it takes of an image network's weights, in timm's names
      (torchvision's for a ResNet), under its own names.
    """

    @abstractmethod
    def build(self, template_size: int, search_size: int) -> nn.Module:
        """The network with fresh weights, for square crops of these sizes in pixels."""
