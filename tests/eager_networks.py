"""Networks and trackers of a model, for tests that make the model themselves; and a model of fixed answers."""

import time
from types import SimpleNamespace

from torch import Tensor, nn

from lib.geometry.crop import CropConfig
from lib.inference.settings import Precision, TrackerConfig, TrackSettings
from lib.inference.torch_network import TorchNetwork
from lib.inference.tracker import Tracker
from lib.models.base import TrackingModel
from lib.models.heads.base import Prediction


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


class FixedModel(TrackingModel):
    """Answers the same candidates, boxes ``[N, 4]`` and scores ``[N]``, for every crop, after some ``seconds``."""

    def __init__(self, boxes: Tensor, scores: Tensor, seconds: float = 0.0) -> None:
        nn.Module.__init__(self)
        self.prediction, self.box_head = Prediction(boxes[None], scores[None]), SimpleNamespace(candidates=len(scores))
        self.seconds = seconds

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor]:
        return (box,)

    def locate(self, state: tuple[Tensor], search: Tensor) -> Prediction:
        time.sleep(self.seconds)
        return self.prediction

    def parameter_groups(self) -> dict[str, list[str]]:
        return {}
