"""The maps of one tracked frame: the network looks there once more, as it did while it tracked."""

import base64
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np

from lib.inference.tracker import Tracker
from lib.programs.demo.job import Job
from lib.visualization.token_map import draw_token_map


class Drawn(NamedTuple):
    """A map of a ``target``: its ``name``, the ``score`` of the frame that was looked at again, and the ``picture``,
    RGB uint8."""

    target: str
    name: str
    score: float
    picture: np.ndarray

    def as_dict(self) -> dict[str, str]:
        """For a page, with the picture as a data address."""
        encoded, code = cv2.imencode(".png", self.picture[..., ::-1])
        assert encoded, "an image of uint8 RGB is a PNG"
        data = base64.b64encode(code.tobytes()).decode()
        return {"target": self.target, "name": self.name, "picture": f"data:image/png;base64,{data}"}


def draw_maps(job: Job, number: int) -> list[Drawn]:
    """The maps of each target in row ``number`` of a job. Raises ``ValueError`` where there is nothing to draw: in the
    first frame, in one that was not tracked, and for an exported network."""
    if job.network is None or not job.has_maps:
        raise ValueError(
            "this tracker is an exported network, which gives its best box alone; choose another to draw its maps"
        )
    if not 1 <= number < len(job.rows):
        raise ValueError(f"frame {number} has no maps: frames 1 to {len(job.rows) - 1} were searched")
    from lib.inference.decisions import decide  # it imports torch, which takes seconds

    with job.video.open() as reader:
        first = reader.first.image
        image = next(islice(reader, job.rows[number][0], None)).image
    tracker, drawn = Tracker(job.network), []
    for target, before in zip(job.targets, job.rows[number - 1][2], strict=True):
        tracker.init(first, target.box)
        tracker.box = np.array(before[:4])
        result, maps = decide(tracker, image)
        for name, (values, stages, meaning) in maps.items():
            picture = draw_token_map(result.crop, values[0].numpy(), stages, meaning)
            drawn.append(Drawn(target.name, name, float(result.score), picture))
    return drawn
