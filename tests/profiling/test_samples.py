"""Measuring the speed of sampling: that the ways compared do the same work, and that the numbers are told right.

The measuring itself, in processes, is run by tests/tracking/test_profile_data.py; how fast it is, is no matter here.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lib.data.augment import JitterConfig
from lib.data.decoding.images import DECODERS, find_decoder
from lib.data.pairs import Pairs
from lib.data.sampling import Pool
from lib.geometry.crop import CropConfig
from lib.profiling import samples as profiling
from lib.profiling.samples import (
    CONFIG,
    STAGES,
    Contestant,
    IndexTimes,
    ProfileReport,
    Row,
    Scaling,
    Straightforward,
    Turn,
    describe_machine,
    share_stages,
)

TEMPLATE, SEARCH = CropConfig(size=32, factor=2.0), CropConfig(size=64, factor=4.0)


@pytest.fixture
def sequence(make_sequence):
    """Targets at every border, so that crops need padding."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (80, 100, 3), dtype=np.uint8) for _ in range(20)]
    corners = [(0, 0), (78, 3), (80, 60), (2, 58), (40, 30)]
    return make_sequence("a", images, [(*corners[frame % 5], 20, 18 + frame) for frame in range(20)])


def test_the_straightforward_way_makes_the_same_pairs(sequence):
    """With neither grey nor mirrored crops its pixels are those of training, over 255, redrawn pairs among them."""
    plain = {"grayscale": 0.0, "joint_flip": 0.0, "flip": 0.0, "decoder": "opencv"}
    jitter = JitterConfig(center=8.0, scale=0.25)  # some crops show nothing, and are drawn again
    config = CONFIG.model_copy(update=plain | {"search_jitter": jitter})
    pairs = Pairs(config, [Pool([sequence])], TEMPLATE, SEARCH, seed=3)
    straightforward = Straightforward([sequence], config, TEMPLATE, SEARCH, seed=3)
    samples = [pairs.sample(number) for number in range(60)]
    assert any(sample.redrawn for sample in samples)
    for number, sample in enumerate(samples):
        template, search = straightforward.sample(number)
        np.testing.assert_array_equal(template.numpy(), sample.template.numpy() / np.float32(255))
        np.testing.assert_array_equal(search.numpy(), sample.search.numpy() / np.float32(255))


def test_stages_of_real_samples(sequence):
    pairs = Pairs(CONFIG, [Pool([sequence])], TEMPLATE, SEARCH, seed=0)
    ours = profiling._tell_shares(pairs.sample, range(20))
    plain = profiling._tell_shares(Straightforward([sequence], CONFIG, TEMPLATE, SEARCH, seed=0).sample, range(20))
    for shares in (ours, plain):
        assert tuple(shares) == STAGES and sum(shares.values()) == pytest.approx(1)
    assert min(ours.values()) > 0
    assert plain["reading"] == 0 and plain["decoding"] > plain["augmenting"] > 0


def test_time_in_foreign_functions_belongs_to_who_called_them():
    lib = f"{profiling._LIB}/data/"
    sample = (lib + "pairs.py", 1, "sample")
    pixels, crop = (lib + "images.py", 1, "pixels"), (lib + "views.py", 1, "crop")
    read, full = ("/python/pathlib.py", 1, "read_bytes"), ("/numpy/core.py", 1, "full")
    fill, resize = ("~", 0, "<built-in fill>"), ("~", 0, "<built-in resize>")
    stats = {
        sample: (1, 1, 1.0, 20.0, {}),
        pixels: (1, 1, 2.0, 9.0, {sample: (1, 1, 2.0, 9.0)}),
        crop: (1, 1, 3.0, 9.0, {sample: (1, 1, 3.0, 9.0)}),
        read: (1, 1, 4.0, 4.0, {pixels: (1, 1, 4.0, 4.0)}),
        full: (2, 2, 0.0, 4.0, {pixels: (1, 1, 0.0, 3.0), crop: (1, 1, 0.0, 1.0)}),
        fill: (2, 2, 4.0, 4.0, {full: (2, 2, 4.0, 4.0)}),
        resize: (1, 1, 5.0, 5.0, {crop: (1, 1, 5.0, 5.0)}),
    }
    assert share_stages(stats) == pytest.approx(
        {"reading": 4 / 19, "decoding": 5 / 19, "cropping": 9 / 19, "augmenting": 0.0, "rest": 1 / 19}
    )


def test_functions_with_a_stage_of_their_own_are_there():
    """One that was renamed would be counted with the rest of its module."""
    lib = Path(profiling.__file__).parents[1]
    for entry, stage in profiling._STAGE_OF.items():
        file, _, function = entry.partition(":")
        (path,) = (path for path in lib.rglob(file) if "programs" not in path.parts)
        assert stage in STAGES and (not function or f"def {function}(" in path.read_text()), entry


def test_every_store_runs_with_every_decoder_that_is_there(monkeypatch):
    best = find_decoder("auto")
    contestants = profiling._contestants()
    assert contestants[0] == Contestant("straightforward", "cv2.imread")
    installed = {name for name, decoder in DECODERS.items() if decoder.missing() is None}
    for store in ("folder", "lmdb", "crops"):
        exact = [entry.decoder for entry in contestants if entry.store == store and not entry.scaled]
        assert exact[0] == best and set(exact) == installed
    assert [entry.store for entry in contestants if entry.scaled] == ["folder", "lmdb"]
    monkeypatch.setitem(DECODERS, "simplejpeg", DECODERS["simplejpeg"]._replace(missing=lambda: "gone"))
    assert "simplejpeg" not in {entry.decoder for entry in profiling._contestants()} - {best}


def row(store: str, ratio: float, decoder: str = "fast", scaled: bool = False, missed: float | None = None) -> Row:
    return Row(store, decoder, scaled, 100.0 * ratio, ratio, ratio + 0.1, dict.fromkeys(STAGES, 0.2), missed)


@pytest.fixture
def report() -> ProfileReport:
    frames = {"frames": 360, "width": 1280, "height": 720, "jpeg_quality": 85}
    frames |= {"bytes_per_frame": 150_000, "crop_bytes_per_frame": 70_000}
    rows = [
        row("straightforward", 1.0, "cv2.imread"),
        row("folder", 2.1), row("folder", 1.3, "slow"), row("folder", 2.6, scaled=True),
        row("lmdb", 2.1),
        row("crops", 5.5, missed=0.001),
    ]  # fmt: skip
    scaling = [Scaling(store, 200.0, 2 * factor * 100, factor, 1.9, 190.0, 350.0) for store, factor in
               (("folder", 1.9), ("lmdb", 1.7), ("crops", 1.85))]  # fmt: skip
    return ProfileReport({"processor": "A"}, frames, rows, scaling, IndexTimes(30132, 40.0, 1.5, 480_000_000))


def test_goals(report):
    assert report.goals() == {
        "folder": (2.0, 2.1, True),
        "lmdb": (2.2, 2.1, False),
        "crops": (5.0, 5.5, True),
        "2 processes": (1.8, 1.7, False),
        "index": (2.0, 1.5, True),
    }
    assert ProfileReport({}).goals() == {}
    assert not ProfileReport({}, index=IndexTimes(1, 1.0, 2.5, 1)).goals()["index"][2]


def test_the_tables(report):
    lines = report.text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("store "))
    assert lines[start].split() == [
        "store", "decoder", "pairs/s", "ms/pair", "ratio", "by", "CPU", "time", *STAGES,
    ]  # fmt: skip
    assert lines[start + 1].split() == [
        "straightforward", "cv2.imread", "100.0", "10.00", "1.00", "1.10", "-", "20%", "20%", "20%", "20%",
    ]  # fmt: skip
    assert lines[start + 4].startswith("folder           fast scaled")
    assert "the crop store did not have 0.10% of the crops" in lines
    assert any(line.split() == ["lmdb", "200.0", "340.0", "1.70", "1.90", "190.0", "350.0"] for line in lines)
    assert any(
        "opened in 40.0 s the first time and 1.50 s the second; the index has 480.0 MB" in line for line in lines
    )
    assert lines[-5:] == [
        "goal folder: at least 2.0 x, 2.10: holds",
        "goal lmdb: at least 2.2 x, 2.10: MISSED",
        "goal crops: at least 5.0 x, 5.50: holds",
        "goal 2 processes: at least 1.8 x, 1.70: MISSED",
        "goal index: at most 2.0 s, 1.50: holds",
    ]


def test_the_json_is_whole(report, tmp_path):
    report.write(tmp_path / "new" / "profile.json")
    content = json.loads((tmp_path / "new" / "profile.json").read_text())
    assert content["rows"][5]["missed"] == 0.001 and content["rows"][3]["scaled"] is True
    assert content["rows"][1]["processor_ratio"] == 2.2
    assert content["goals"]["lmdb"] == {"goal": 2.2, "reached": 2.1, "holds": False}
    assert content["scaling"][0]["loader_two"] == 350.0 and content["index"]["videos"] == 30132


def test_a_turn_counts_what_the_store_missed():
    class Made:
        missed = 2

    turn = profiling._take_turn(lambda number: Made() if number % 2 else (), range(6))
    assert isinstance(turn, Turn) and turn.missed == 6
    assert turn.processor >= 0 and turn.seconds > 0


def test_the_machine():
    machine = describe_machine()
    assert {"processor", "cores", "load", "python", "numpy", "torch", "lmdb"} <= machine.keys()
    assert all(isinstance(value, str) and value for value in machine.values())


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        profiling.profile_index(Path(tmp_path / "nowhere"), videos=1)


@pytest.mark.slow
def test_a_process_that_fails_is_one_line(tmp_path):
    failing = profiling._process(profiling._open_index, tmp_path / "nowhere", tmp_path / "cache")
    with pytest.raises(ValueError, match="a process that was measured has failed"), failing as connection:
        connection.recv()
