"""The maps of one tracked frame: the network looks there once more, as it did while it tracked."""

from itertools import islice
from typing import Any

from lib.inference.tracker import Tracker
from lib.programs.demo.job import Job
from lib.visualization.sheet import data_address, encode
from lib.visualization.token_map import draw_token_map


def draw_maps(job: Job, number: int) -> list[dict[str, Any]]:
    """The maps of each target in row ``number`` of a job, for the page: ``target``, ``name``, the frame's ``score`` in
    this second look, and ``picture``, the data address of a PNG. Raises ``ValueError`` if there is nothing to draw: in
    the first frame, in one that was not tracked, and for an exported network."""
    if job.network is None or not job.has_maps:
        raise ValueError(
            "this tracker is an exported network, which gives its best box alone; choose another to draw its maps"
        )
    if not 1 <= number < len(job.rows):
        raise ValueError(f"frame {number} has no maps: frames 1 to {len(job.rows) - 1} were searched")
    from lib.inference.decisions import decide_at  # it imports torch, which takes seconds

    with job.video.open() as reader:
        first = reader.first.image
        image = next(islice(reader, job.rows[number][0], None)).image
    tracker, drawn = Tracker(job.network), []
    for target, before in zip(job.targets, job.rows[number - 1][2], strict=True):
        result, maps = decide_at(tracker, first, target.box, image, before[:4])
        for name, (values, stages, meaning) in maps.items():
            picture = data_address(encode(draw_token_map(result.crop, values[0].numpy(), stages, meaning)), "png")
            drawn.append({"target": target.name, "name": name, "score": float(result.score), "picture": picture})
    return drawn
