"""Several forms of a network take turns, and each part of a frame is timed."""

from time import sleep

import numpy as np
import torch
from eager_networks import network_of
from torch import Tensor, nn

from lib.geometry.crop import CropConfig
from lib.inference.settings import TrackerConfig
from lib.inference.torch_network import TorchNetwork
from lib.models.base import TrackingModel
from lib.models.heads.base import Prediction
from lib.profiling.frames import TURN, Lane, time_frames, time_parts

PAUSE = 0.004


class Idle(TrackingModel):
    """Takes PAUSE seconds, answers with a large box far away and appends its name and the crops to ``calls``."""

    family = "idle"

    def __init__(self, name: str = "", calls: list[tuple[str, Tensor]] | None = None) -> None:
        nn.Module.__init__(self)
        self.name, self.calls = name, [] if calls is None else calls

    def encode_template(self, template: Tensor, box: Tensor) -> tuple[Tensor]:
        return (template,)

    def locate(self, state: tuple[Tensor], search: Tensor, epoch: int | None = None) -> Prediction:
        sleep(PAUSE)
        self.calls.append((self.name, search))
        boxes = torch.tensor([0.9, 0.9, 0.9, 0.9]).expand(len(search), 1, 4)
        return Prediction(boxes, torch.ones(len(search), 1))

    def parameter_groups(self) -> dict[str, list[str]]:
        return {}


def idle(name: str = "", calls: list[tuple[str, Tensor]] | None = None) -> TorchNetwork:
    crops = CropConfig(size=32, factor=2.0), CropConfig(size=64, factor=4.0)
    return network_of(Idle(name, calls), *crops, TrackerConfig(window="none"))


def test_every_frame_is_timed_and_the_network_is_part_of_it():
    network = idle()
    (row,) = time_frames([Lane("eager", network, 1)], frames=7, warmup=2)
    assert len(network.model.calls) == 9
    assert row["target"] < 1000 * PAUSE <= row["network"] < row["end to end"] <= row["p95"]
    assert row["processor"] < row["end to end"]  # the network sleeps
    assert (row["form"], row["batch"], row["frames/s"]) == ("eager", 1, 1000 / row["end to end"])


def test_a_batch_is_timed_as_its_frames():
    """Three batches of 2 in a turn; a frame's time is half of a batch's."""
    network = idle()
    lane = Lane("eager", network, 2)
    (row,) = time_frames([lane], frames=TURN, warmup=0)
    assert [search.shape[0] for _, search in network.model.calls] == [2] * 3
    assert len(lane.seconds["find"]) == 3
    assert row["network"] == 1000 * np.median(lane.seconds["find"]) / 2 >= 500 * PAUSE


def test_forms_have_turns():
    calls: list[tuple[str, Tensor]] = []
    lanes = [Lane(name, idle(name, calls), 1) for name in ("a", "b")]
    time_frames(lanes, frames=2 * TURN, warmup=1)
    assert "".join(name for name, _ in calls) == "ab" + 2 * (TURN * "a" + TURN * "b")


def test_a_frame_costs_the_same_wherever_the_network_sees_the_target():
    """Without putting the target back, its answers would lead to ever larger crops, mostly of padding."""
    network = idle()
    time_frames([Lane("eager", network, 1)], frames=9, warmup=0)
    first, *others, last = (search for _, search in network.model.calls)
    assert torch.equal(first, last)  # the ninth frame is the first again
    assert all(other.std() > 0.5 for other in others)


def test_the_parts_of_a_frame_are_all_but_the_network():
    network = idle()
    wall, processor = time_parts(network, frames=5, warmup=1)
    assert len(network.model.calls) == 6
    assert (wall["clock"], processor["clock"]) == ("wall", "processor")
    for row in (wall, processor):
        parts = [row[name] for name in ("crop", "normalize", "choose", "box")]
        assert min(parts) > 0
        assert row["all"] == sum(parts) < 1000 * PAUSE
