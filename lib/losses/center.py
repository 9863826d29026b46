"""The objective of the center head: heat map, GIoU and L1 of one box per sample."""

from pydantic import NonNegativeFloat
from torch import Tensor
from torch.nn import functional

from lib.geometry.boxes import cxcywh_to_xyxy, xywh_to_xyxy
from lib.geometry.grids import center_heatmap
from lib.losses.objective import Objective, ObjectiveConfig, ObjectiveResult
from lib.losses.terms import focal_loss, giou_loss
from lib.models.base import CenterPrediction


class CenterObjectiveConfig(ObjectiveConfig):
    """Adds ``focal``, the weight of the score map's term (OSTrack, GRM)."""

    focal: NonNegativeFloat = 1.0


class CenterObjective(Objective):
    """Loss of a ``CenterPrediction``, as GRM and OSTrack publish it (lib/train/actors), in float32.

    The predicted box is the one at the argmax of the raw score map, without a window. The heat map is made from the
    true box; GIoU and L1 compare with the true box clamped to the crop. Means and the number of positives are over the
    batch. Monitors: ``iou``, mean over samples, and ``inverted``, the number of inverted boxes. These have a GIoU here
    (see ``giou_loss``); the published code drops the term for the whole batch.
    """

    def __init__(self, config: CenterObjectiveConfig) -> None:
        self.weights = {"giou": config.giou, "l1": config.l1, "focal": config.focal}

    def __call__(self, prediction: CenterPrediction, search_box: Tensor) -> ObjectiveResult:
        """``search_box`` ``[B, 4]``: the true boxes, xywh in fractions of the search crop."""
        score_map = prediction.score_map
        best = score_map.flatten(1).argmax(dim=1)
        picked = prediction.boxes.take_along_dim(best[:, None, None], dim=1).squeeze(1).float()
        predicted, target = cxcywh_to_xyxy(picked), xywh_to_xyxy(search_box).clamp(0, 1)
        giou, overlap, inverted = giou_loss(predicted, target)
        terms = {
            "giou": giou,
            "l1": functional.l1_loss(predicted, target),
            "focal": focal_loss(score_map.squeeze(1), center_heatmap(search_box, score_map.shape[-1])),
        }
        total = sum(weight * terms[name] for name, weight in self.weights.items())
        return ObjectiveResult(total, terms, {"iou": overlap.mean(), "inverted": inverted.sum()})
