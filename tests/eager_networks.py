"""Networks and trackers of a model, for tests that make the model themselves."""

from lib.geometry.crop import CropConfig
from lib.inference.settings import Precision, TrackerConfig, TrackSettings
from lib.inference.torch_network import TorchNetwork
from lib.inference.tracker import Tracker
from lib.models.base import TrackingModel


def network_of(
    model: TrackingModel,
    template: CropConfig,
    search: CropConfig,
    config: TrackerConfig | None = None,
    precision: Precision = "fp32",
) -> TorchNetwork:
    """The model on the CPU behind the interface of a network."""
    settings = TrackSettings(template=template, search=search, tracker=config or TrackerConfig())
    return TorchNetwork(model, settings, "cpu", precision)


def tracker_of(
    model: TrackingModel, template: CropConfig, search: CropConfig, config: TrackerConfig | None = None
) -> Tracker:
    """A tracker of one target with the model."""
    return Tracker(network_of(model, template, search, config))
