"""Our tracker with the interface of the got10k toolkit, so that ``ExperimentGOT10k(...).run(tracker)`` runs it.

The toolkit needs a name and a few methods, not its own class, so it is imported only to draw.
"""

from collections import abc
from pathlib import Path

import numpy as np
from PIL import Image

from lib.data.decoding.images import read_image
from lib.inference.follow import TargetSpec, follow
from lib.inference.tracker import Tracker


class Got10kTracker:
    """A tracker under the got10k toolkit: the experiments of 0.1.3 call ``track``, those of its later repository
    ``forward_test``, and VOT's also ``init`` and ``update``.

    ``name`` is the folder of the toolkit's results. Boxes are xywh in pixels, as the toolkit reads them from the
    annotations: it shifts none.
    """

    is_deterministic = True  # so the toolkit has a sequence tracked once, not three times

    def __init__(self, tracker: Tracker, name: str) -> None:
        self.name, self._tracker = name, tracker

    def init(self, image: Image.Image | np.ndarray, box: np.ndarray) -> None:
        """Take the target from an image, which becomes RGB, at a box."""
        self._tracker.init(_pixels(image), box)

    def update(self, image: Image.Image | np.ndarray) -> np.ndarray:
        """The target's box in the next image, float64 ``[4]``."""
        return self._tracker.update(_pixels(image)).box

    def track(
        self, img_files: abc.Sequence[str], box: np.ndarray, visualize: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Follow the target through a sequence's image files: float64 ``[N, 4]`` boxes, the first as given, and ``[N]``
        seconds, without the reading of the image, as the toolkit's own loop counts them.

        Images are read as in our runs, turned by their EXIF data; the toolkit's own loop does not turn them.
        """
        boxes, seconds = np.zeros((len(img_files), 4)), np.zeros(len(img_files))
        images = (read_image(Path(file)) for file in img_files)
        for step in follow(images, [TargetSpec("target", box)], self._tracker.network):
            boxes[step.number], seconds[step.number] = step.results["target"].box, step.seconds
            if visualize:
                from got10k.utils.viz import show_frame  # the toolkit's own window, which only the toolkit asks for

                show_frame(Image.fromarray(step.image), boxes[step.number])
        return boxes, seconds

    forward_test = track


def _pixels(image: Image.Image | np.ndarray) -> np.ndarray:
    return image if isinstance(image, np.ndarray) else np.array(image.convert("RGB"))
