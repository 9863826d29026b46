"""The section of trackers.ini, and the boxes of regions that the VOT toolkit passes; a session is in tests/tracking."""

import configparser
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from toy_experiment import write_checkpoint, write_experiment

from lib.data.datasets.regions import region_box
from lib.data.decoding.images import read_image
from lib.evaluation.benchmarks import read_benchmark
from lib.experiment.build import build_tracker
from lib.experiment.config import load_experiment
from lib.inference.follow import TargetSpec, follow
from lib.inference.tracker import Tracker
from lib.programs.vot_toolkit import box_of_region, run_vot

PROGRAM = Path("tracking/vot.py")


@pytest.fixture
def trax():
    """The module that speaks TraX."""
    return pytest.importorskip("trax", reason="vot-trax is not installed; make toolkits")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_experiment(tmp_path / "toy.yaml", test={"per_dataset": {"vot22": {"model.division.threshold": 0.99}}})


@pytest.fixture
def checkpoint(tmp_path: Path, config: Path) -> Path:
    """Under a path that a shell and an ini file would each read otherwise."""
    return write_checkpoint(tmp_path / "100% 'mine'" / "last.pth", load_experiment(config))


def region_of(trax, text: str):
    """The region of a line of a ground truth, as the toolkit hands it over."""
    values = [float(word) for word in text.removeprefix("m").split(",")]
    if text.startswith("m"):
        x, y, width, height, *runs = map(int, values)
        mask = np.repeat(np.arange(len(runs)) % 2, runs).astype(np.uint8)
        return trax.Mask.create(np.pad(mask, (0, width * height - len(mask))).reshape(height, width), x=x, y=y)
    if len(values) == 4:
        return trax.Rectangle.create(*values)
    return trax.Polygon.create(list(zip(values[::2], values[1::2], strict=True)))


@pytest.mark.parametrize(
    "text",
    [
        "20.25,12,24,18.5",
        "-3,2,10,11",
        "10.5,20.25,30,21,29.75,40,9,39.5",
        "5,5,9,6,7,12",
        "m3,4,6,5,7,3,3,4",
        "m0,0,4,3,5,1",
        "m12,9,3,2,0,6",
    ],
)
def test_the_box_of_a_region_is_that_of_the_same_region_in_a_file(trax, text):
    assert box_of_region(region_of(trax, text)) == pytest.approx(region_box(text), abs=1e-6)


def test_regions_that_are_no_place_are_refused(trax):
    with pytest.raises(ValueError, match="^the toolkit starts the tracker at an empty mask$"):
        box_of_region(trax.Mask.create(np.zeros((3, 4), np.uint8)))
    with pytest.raises(ValueError, match="at a region of kind 'special', which has no box"):
        box_of_region(trax.Special.create(1))


def test_the_section_states_how_this_python_starts_the_program(trax, checkpoint, config, monkeypatch):
    monkeypatch.chdir(checkpoint.parent)
    words = (str(config), Path("last.pth"), "vot22", "cpu", ["test.tracker.clip_margin=5"])
    parser = configparser.ConfigParser()
    parser.read_string(run_vot(PROGRAM, *words, print_ini=True).text())
    assert parser.sections() == ["toy"]
    assert dict(parser["toy"]) | {"command": ""} == {"label": "toy", "protocol": "trax", "command": ""}
    assert shlex.split(parser["toy"]["command"]) == [
        sys.executable, str(checkpoint.parent / PROGRAM), "--checkpoint", str(checkpoint),
        "--config", str(config), "--dataset", "vot22", "--device", "cpu", "test.tracker.clip_margin=5",
    ]  # fmt: skip


def test_the_section_has_a_name_that_the_toolkit_takes(trax, tmp_path):
    config = write_experiment(tmp_path / "toy.yaml", name="grm.v2-b_1")
    words = {
        "checkpoint": write_checkpoint(tmp_path / "last.pth", load_experiment(config)),
        "device": "cpu",
        "print_ini": True,
    }
    assert run_vot(PROGRAM, **words).text().startswith("[grm_v2-b_1]\nlabel = grm.v2-b_1\n")
    assert run_vot(PROGRAM, **words, identifier="mine").text().startswith("[mine]\nlabel = grm.v2-b_1\n")
    assert run_vot(PROGRAM, **words, identifier="a b").text().startswith("[a_b]\nlabel = grm.v2-b_1\n")
    with pytest.raises(ValueError, match=r"a\\nb.* that trackers.ini cannot hold"):
        run_vot(Path("a\nb"), **words)


def test_what_would_stop_the_process_is_an_error_before_the_toolkit_starts_it(trax, tmp_path, checkpoint):
    for words, message in (
        ({"checkpoint": tmp_path / "absent.pth"}, "absent.pth"),
        ({"checkpoint": checkpoint, "dataset": "vot23"}, "did you mean vot22"),
        ({"checkpoint": checkpoint, "device": "cuda:99"}, "device 'cuda:99' would be GPU number 99"),
        ({"checkpoint": checkpoint, "overrides": ["test.tracker.windw=none"]}, "test.tracker.windw"),
    ):
        with pytest.raises(ValueError, match=message):
            run_vot(PROGRAM, **words, print_ini=True)


def test_a_missing_trax_is_reported_with_the_command_that_installs_it(checkpoint, monkeypatch):
    monkeypatch.setattr("lib.programs.vot_toolkit.find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"^vot-trax is not installed here; .*python\S* -m pip install vot-trax==4\.0\.2$"
    ):
        run_vot(PROGRAM, checkpoint=checkpoint, print_ini=True)


def test_the_tracker_has_the_weights_and_the_values_of_its_benchmark(
    trax, checkpoint, config, toy_got10k, cache, monkeypatch
):
    trackers: list[Tracker] = []
    monkeypatch.setattr("lib.programs.vot_toolkit.serve_trax", lambda tracker, name: trackers.append(tracker))
    sequence = read_benchmark("got10k_val", toy_got10k, cache).sequences[0]

    def boxes(tracker: Tracker) -> list[list[float]]:
        steps = follow(map(read_image, sequence.frames[:6]), [TargetSpec("a", sequence.boxes[0])], tracker.network)
        return [step.results["a"].box.tolist() for step in steps]

    overrides = ["model.division.threshold=0.99", "seed=8"]
    run_vot(PROGRAM, checkpoint=checkpoint, dataset="vot22", device="cpu")
    run_vot(PROGRAM, str(config), checkpoint, device="cpu")
    run_vot(PROGRAM, str(config), checkpoint, device="cpu", overrides=overrides)
    chosen, plain, other = map(boxes, trackers)
    strict = load_experiment(config, ["model.division.threshold=0.99"])
    assert chosen == boxes(build_tracker(strict, checkpoint))
    assert plain == boxes(build_tracker(load_experiment(config), checkpoint))
    assert plain != chosen
    assert other == chosen  # the checkpoint's weights, not the seed's
