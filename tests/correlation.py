"""A network that needs no training: the template's target is correlated with the search crop."""

import cv2
import numpy as np

from lib.geometry.crop import CropConfig
from lib.inference.network import Found
from lib.inference.settings import TrackerConfig, TrackSettings


class CorrelationNetwork:
    """Answers the box of the template's size where the normalized correlation, the score, is highest; ``window`` is
    "multiply" (a Hann window) or "none"."""

    batch = None
    suggested_batch = 8
    name, device = "correlation", "cpu"

    def __init__(self, search: float = 4.0, size: int = 96, **tracker) -> None:
        crops = {"template": CropConfig(size=size // 2, factor=2.0), "search": CropConfig(size=size, factor=search)}
        self.settings = TrackSettings(**crops, tracker=TrackerConfig(**tracker))

    def encode(self, crops: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The template crops, and the boxes in them."""
        return crops.copy(), boxes.astype(np.float32)

    def find(self, state: tuple[np.ndarray, np.ndarray], crops: np.ndarray) -> Found:
        """See ``Network``."""
        found = [self._find(*rows) for rows in zip(*state, crops, strict=False)]
        boxes, scores = (np.array(values, dtype=np.float32) for values in zip(*found, strict=True))
        return Found(boxes, scores, np.zeros(len(scores), dtype=np.int64))

    def _find(self, template: np.ndarray, box: np.ndarray, crop: np.ndarray) -> tuple[list[float], float]:
        size = len(template)
        x, y = (max(0, int(value)) for value in np.round(box[:2] * size))
        w, h = (max(2, int(value)) for value in np.round(box[2:] * size))
        settings = self.settings
        scale = settings.template.factor / settings.search.factor * settings.search.size / size
        target = template[y : y + h, x : x + w]
        shown = cv2.resize(target, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        scores = cv2.matchTemplate(crop, shown, cv2.TM_CCOEFF_NORMED)
        centers = (np.arange(length) + part / 2 for length, part in zip(scores.shape, shown.shape, strict=False))
        rows, columns = (np.sin(np.pi * center / len(crop)) ** 2 for center in centers)
        weighed = scores * rows[:, None] * columns if settings.tracker.window == "multiply" else scores
        row, column = np.unravel_index(np.argmax(weighed), scores.shape)
        height, width = shown.shape[:2]
        center = [(column + width / 2) / len(crop), (row + height / 2) / len(crop)]
        return [*center, width / len(crop), height / len(crop)], float(scores[row, column])
