"""The interface of backbones, which makes them interchangeable and lets image weights load into each."""

from abc import abstractmethod

from torch import nn

from lib.config.schema import Section


class BackboneConfig(Section):
    """A backbone's configuration. A field or property ``stride``: stride of the grid in crop pixels; crop sizes must be
    multiples of it. The module that it builds has

    * ``width``: channels of its tokens or features,
    * ``from_image_weights(weights) -> weights``: the part that it takes of an image network's weights, from timm's
      names (torchvision's for a ResNet) to its own.
    """

    @abstractmethod
    def build(self, template_size: int, search_size: int) -> nn.Module:
        """The network with fresh weights, for square crops of these sizes in pixels."""
