"""The token maps of one tracked frame: the network looks there once more, as it did while it tracked."""

from __future__ import annotations

import base64
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np

from lib.inference.tracker import Tracker
from lib.programs.demo.job import Job
from lib.visualization.token_map import draw_token_map


class Drawn(NamedTuple):
    """A token map of a ``target``: its ``name`` in the family's record, the ``score`` of the frame that was looked at
    again, and the ``picture``, RGB uint8."""

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
    """The token maps of each target in row ``number`` of a job. Raises ``ValueError`` where there is nothing to draw:
    in the first frame, in one that was not tracked, and for a network without such decisions."""
    if job.opened is None or not job.opened.maps:
        raise ValueError("this tracker makes no decisions over tokens that could be drawn")
    if not 1 <= number < len(job.rows):
        raise ValueError(f"frame {number} has no token maps: frames 1 to {len(job.rows) - 1} were searched")
    with job.video.open() as reader:
        first = reader.first.image
        image = next(islice(reader, job.rows[number].number, None)).image
    tracker, drawn = Tracker(job.opened.network), []
    before, after = job.rows[number - 1], job.rows[number]
    for place, target in enumerate(job.targets):
        tracker.init(first, target.box)
        tracker.box = before.boxes[place]
        result = tracker.update(image)
        for name, read in job.opened.maps.items():
            chosen, stages, meaning = read(result.prediction.extras)
            if stages:
                picture = draw_token_map(result.crop, chosen[0].cpu().numpy(), stages, meaning)
                drawn.append(Drawn(target.name, name, float(result.score), picture))
    assert len(after.boxes) == len(job.targets)
    return drawn
