"""What a network decides on one frame of a video: score maps, the maps of its family, attention of the target."""

from collections.abc import Collection
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from lib.geometry.grids import cell_coverage
from lib.inference.target import Boxlike, Image
from lib.inference.torch_network import FindGraph, TorchNetwork
from lib.inference.tracker import Tracker, TrackResult
from lib.models.attention import recorded_attention
from lib.models.base import TokenMap
from lib.models.heads.base import Prediction
from lib.models.heads.corner import CornerPrediction

ATTENTION = "attention"


class Decisions(NamedTuple):
    """The ``result`` of a frame, and by name the ``maps`` of the network, of batch 1 on the CPU."""

    result: TrackResult
    maps: dict[str, TokenMap]


def decide(tracker: Tracker, image: Image, names: Collection[str] = ()) -> Decisions:
    """``tracker.update(image)`` with the maps of these ``names``, by default all that the network has.

    "scores" are the candidates' before and after the window, or "corners" the maps of a corner head; "attention" is
    that of the target's tokens to the search region. The others are those of ``Family.token_maps``. Attention is only
    computed if it is among the names. Raises ``ValueError`` for an exported network and for a name it has no map of.
    """
    network = tracker.network
    if not isinstance(network, TorchNetwork):
        raise ValueError(f"{network.name}: an exported network gives its best box alone; name a checkpoint instead")
    model = network.model
    modules = model.family.attention(model) if not names or ATTENTION in names else {}
    recording = nullcontext()
    if modules:
        recording = recorded_attention(modules, _target_weights(tracker), model.search_grid**2)
    with recording as rows:
        result = tracker.update(image)
    maps = _scores(result.prediction, network.find_graph)
    maps |= {name: read(model, result.prediction.extras) for name, read in model.family.token_maps.items()}
    if rows:
        maps[ATTENTION] = TokenMap(torch.stack(list(rows.values()), dim=1), tuple(rows), "attention")
    maps = {name: each._replace(values=each.values.cpu()) for name, each in maps.items() if each.stages}
    for name in names:
        if name not in maps:
            known = [*maps, *([ATTENTION] if model.family.attention(model) and not rows else [])]
            raise ValueError(f"{network.name} has no map {name!r}; it has {', '.join(known)}")
    return Decisions(result, {name: each for name, each in maps.items() if not names or name in names})


def decide_at(tracker: Tracker, first: Image, box: Boxlike, image: Image, before: Boxlike) -> Decisions:
    """``decide`` for any frame of a video: the target is taken from the ``first`` frame, where it has this ``box``, and
    looked for around ``before``, its box in the frame before. Boxes are xywh in pixels."""
    tracker.init(first, box)
    tracker.box = before
    return decide(tracker, image)


def _target_weights(tracker: Tracker) -> Tensor:
    """Each template token's share of the target's area: float32 ``[1, Nz]``."""
    assert tracker.first is not None, "decide() before init()"
    covered = cell_coverage(torch.from_numpy(tracker.first.box)[None], tracker.network.model.template_grid)
    return (covered / covered.sum(dim=1, keepdim=True).clamp(min=1e-6)).to(tracker.network.device)


def _scores(prediction: Prediction, graph: FindGraph) -> dict[str, TokenMap]:
    if isinstance(prediction, CornerPrediction):
        corners = torch.stack([prediction.top_left, prediction.bottom_right], dim=1).float().flatten(2).softmax(dim=2)
        return {"corners": TokenMap(corners, ("top left", "bottom right"), "probability")}
    scores = prediction.scores.float()
    if graph.config.window == "none":
        return {"scores": TokenMap(scores[:, None], ("score",), "score")}
    both = torch.stack([scores, graph.weigh(scores)], dim=1)
    return {"scores": TokenMap(both, ("before the window", "after it"), "score")}
