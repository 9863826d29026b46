"""The objective of the corner head: GIoU and L1 of one box per sample."""

from torch import Tensor
from torch.nn import functional

from lib.geometry.boxes import cxcywh_to_xyxy, xywh_to_xyxy
from lib.losses.objective import Objective, ObjectiveConfig, ObjectiveResult
from lib.losses.terms import giou_loss
from lib.models.base import CornerPrediction


class CornerObjective(Objective):
    """Loss of a ``CornerPrediction``, as STARK and SimTrack publish it (lib/train/actors), in float32.

    The true box is clamped to the crop. Means are over the batch. A corner head can predict inverted boxes: the
    published code then silently drops the GIoU term of the whole batch; here it stays (see ``giou_loss``). Monitors:
    ``iou``, mean over samples, and ``inverted``, the number of such boxes.
    """

    def __init__(self, config: ObjectiveConfig) -> None:
        self.weights = {"giou": config.giou, "l1": config.l1}

    def __call__(self, prediction: CornerPrediction, search_box: Tensor) -> ObjectiveResult:
        """``search_box`` ``[B, 4]``: the true boxes, xywh in fractions of the search crop."""
        predicted = cxcywh_to_xyxy(prediction.boxes.squeeze(1).float())
        target = xywh_to_xyxy(search_box.float()).clamp(0, 1)
        giou, overlap, inverted = giou_loss(predicted, target)
        terms = {"giou": giou, "l1": functional.l1_loss(predicted, target)}
        total = sum(weight * terms[name] for name, weight in self.weights.items())
        return ObjectiveResult(total, terms, {"iou": overlap.mean(), "inverted": inverted.sum()})
