"""Our tracker under the got10k toolkit: by itself, and run and scored by the toolkit for real where it is installed."""

import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image
from toy_experiment import write_experiment

from lib.data.decoding.images import read_image
from lib.data.types import Sequence
from lib.evaluation.benchmarks import Readable, read_benchmark
from lib.evaluation.metrics.scoring import score_set
from lib.evaluation.results.folder import open_results
from lib.evaluation.running.runner import Trial, run_trials
from lib.experiment.build import build_tracker
from lib.experiment.config import load_experiment
from lib.inference.engine import Engine
from lib.inference.tracker import Tracker
from lib.programs.got10k_toolkit import Got10kTracker
from tests.evaluation.toy_sets import ToyResults


@pytest.fixture(scope="module")
def experiments():
    """The toolkit's module of experiments; it draws its plots into files here."""
    reason = "the got10k toolkit is not installed; make toolkits"
    module = pytest.importorskip("got10k.experiments", reason=reason, exc_type=ModuleNotFoundError)
    matplotlib.use("agg")
    return module


@pytest.fixture(scope="module")
def root(toy_got10k: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy set with ``cut_by_image.label``, which the real set has and the toolkit requires but does not use."""
    copy = tmp_path_factory.mktemp("toolkit") / "got10k"
    shutil.copytree(toy_got10k, copy)
    for folder in copy.glob("val/GOT-10k_*"):
        (folder / "cut_by_image.label").write_text("0\n" * len((folder / "cover.label").read_text().split()))
    return copy


@pytest.fixture(scope="module")
def sequences(root: Path, cache: Path) -> list[Sequence]:
    return list(read_benchmark("got10k_val", root, cache).sequences)


@pytest.fixture
def network(tmp_path: Path) -> Tracker:
    return build_tracker(load_experiment(write_experiment(tmp_path / "toy.yaml")), dataset="got10k_val")


def test_a_sequence_is_tracked_as_by_our_engine(network, sequences):
    sequence, tracker = sequences[0], Got10kTracker(network, "toy")
    boxes, seconds = tracker.forward_test([str(path) for path in sequence.frames], sequence.boxes[0])
    remaining = iter([sequence])
    [(_, expected)] = Engine(network.network).run(lambda: next(remaining, None))
    assert np.array_equal(boxes, expected.boxes)
    assert not np.array_equal(boxes[0], boxes[-1])
    assert seconds.shape == (len(sequence),) and (seconds > 0).all()


def test_pictures_of_pil_become_rgb_arrays(network, sequences):
    tracker = Got10kTracker(network, "toy")
    for mode in ("RGB", "L", "CMYK"):
        first, second = (Image.fromarray(read_image(path)).convert(mode) for path in sequences[0].frames[:2])
        tracker.init(first, sequences[0].boxes[0])
        box = tracker.update(second)
        network.init(np.array(first.convert("RGB")), sequences[0].boxes[0])
        assert np.array_equal(box, network.update(np.array(second.convert("RGB"))).box)


def test_the_toolkit_hands_over_our_images_and_boxes_as_they_are(experiments, sequences, root):
    """It shifts no box by a pixel, and its images (PIL, RGB) are ours."""
    toolkit = experiments.ExperimentGOT10k(str(root), subset="val").dataset
    assert toolkit.seq_names == [sequence.name for sequence in sequences]
    for (files, boxes), sequence in zip(toolkit, sequences, strict=True):
        assert files == [str(path) for path in sequence.frames]
        assert np.array_equal(boxes, sequence.boxes)
        assert np.array_equal(np.array(Image.open(files[0])), read_image(sequence.frames[0]))


def test_run_and_report_of_the_toolkit_equal_ours(experiments, network, sequences, root, tmp_path):
    experiment = experiments.ExperimentGOT10k(
        str(root), subset="val", result_dir=str(tmp_path / "results"), report_dir=str(tmp_path / "reports")
    )
    experiment.run(Got10kTracker(network, "toy"))

    folder = open_results(tmp_path, "toy", "got10k_val", None, {}, "cpu")
    run_trials(Readable(sequences, {}), [Trial(lambda most: Engine(network.network), folder)])
    written = tmp_path / "results" / "GOT-10k" / "toy"
    theirs = {}
    for sequence in sequences:
        files = {path.name for path in (written / sequence.name).iterdir()}
        assert files == {f"{sequence.name}_001.txt", f"{sequence.name}_time.txt"}  # deterministic: once, not thrice
        theirs[sequence.name] = np.loadtxt(written / sequence.name / f"{sequence.name}_001.txt", delimiter=",")
        ours = folder.boxes(sequence)
        assert np.abs(theirs[sequence.name] - ours).max() <= 0.0005 + 1e-9  # it writes three decimals
        assert len(np.unique(ours, axis=0)) > 2

    report = experiment.report(["toy"])["toy"]
    scores = score_set(ToyResults("toy", lambda each: theirs[each.name]), "got10k_val", sequences, ["got10k"])
    values = scores.values("got10k")
    assert values["AO"] > 0.01
    assert [report["overall"]["ao"], report["overall"]["sr"]] == pytest.approx(
        [values["AO"], values["SR0.5"]], abs=1e-12
    )
    for entry in scores.sequences:
        assert report["seq_wise"][entry.name]["ao"] == pytest.approx(entry.values("got10k")["AO"], abs=1e-12)
    exact = score_set(ToyResults("ours", folder.boxes), "got10k_val", sequences, ["got10k"])
    assert exact.values("got10k")["AO"] == pytest.approx(values["AO"], abs=1e-4)


def test_the_toolkits_window_shows_our_box(experiments, network, sequences):
    viz = pytest.importorskip("got10k.utils.viz")
    sequence = sequences[0]
    tracker = Got10kTracker(network, "toy")
    boxes, _ = tracker.track([str(path) for path in sequence.frames[:2]], sequence.boxes[0], visualize=True)
    (patch,) = viz.patch_dict[1]
    assert [*patch.get_xy(), patch.get_width(), patch.get_height()] == pytest.approx(boxes[1].tolist())
    assert np.array_equal(viz.fig_dict[1].get_array(), read_image(sequence.frames[1]))
