from pathlib import Path

import numpy as np
import pytest
from one_sequence import read_dataset

import lib.data.synthetic.writing as synthetic
from lib.data.decoding.images import read_image
from lib.data.synthetic.scene import PATTERNS, render_scene
from lib.data.synthetic.writing import SyntheticSet, write_synthetic
from lib.runtime.locks import lock_of

TINY = {"train": 2, "val": 1, "frames": 22, "val_frames": 6, "width": 96, "height": 72, "seed": 3}


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synthetic") / "set"
    assert write_synthetic(root, SyntheticSet(**TINY))
    return root


def test_the_reader_of_got10k_reads_it(tiny: Path):
    train, val = read_dataset("got10k", "full", tiny), read_dataset("got10k", "official_val", tiny)
    assert [sequence.name for sequence in train] == ["GOT-10k_Train_000001", "GOT-10k_Train_000002"]
    assert [sequence.name for sequence in val] == ["GOT-10k_Val_000001"]
    assert [len(sequence) for sequence in train + val] == [22, 22, 6]
    for sequence in train + val:
        assert sequence.boxes.shape == (len(sequence), 4)
        assert sequence.visible.sum() >= 5
        assert set(sequence.cover) <= set(range(9))
        assert read_image(sequence.frames[-1]).shape == (72, 96, 3)


def test_labels_are_those_of_the_scene(tiny: Path):
    rng = np.random.default_rng((TINY["seed"], 0, 1))
    frames = list(render_scene(rng, PATTERNS["train"], TINY["frames"], TINY["width"], TINY["height"]))
    sequence = read_dataset("got10k", "full", tiny)[1]
    assert np.allclose(sequence.boxes, [frame.box for frame in frames])
    assert (sequence.cover == [np.ceil(8 * frame.visible) for frame in frames]).all()


def test_a_frame_without_the_target_is_marked_absent(tmp_path: Path):
    write_synthetic(tmp_path / "set", SyntheticSet(**TINY | {"train": 8}))
    covers = []
    for folder in (tmp_path / "set/train").glob("GOT*"):
        covers.append(np.loadtxt(folder / "cover.label"))
        assert ((covers[-1] == 0) == np.loadtxt(folder / "absence.label")).all()
    assert np.min(covers) == 0


@pytest.mark.slow
def test_a_sequence_depends_on_seed_split_and_index_alone(tiny: Path, tmp_path: Path):
    write_synthetic(tmp_path / "more", SyntheticSet(**TINY | {"train": 3}), processes=2)
    write_synthetic(tmp_path / "other", SyntheticSet(**TINY | {"seed": 4}))
    first, more, other = content(tiny), content(tmp_path / "more"), content(tmp_path / "other")
    images = [name for name in first if name.endswith(("jpg", "groundtruth.txt"))]
    assert len(images) == 22 + 22 + 6 + 3
    assert all(first[name] == more[name] for name in images)
    assert all(first[name] != other[name] for name in images)
    assert first["train/GOT-10k_Train_000001/00000001.jpg"] != first["train/GOT-10k_Train_000002/00000001.jpg"]
    assert first["train/GOT-10k_Train_000001/00000001.jpg"] != first["val/GOT-10k_Val_000001/00000001.jpg"]


def test_a_finished_set_is_left_as_it_is(tmp_path: Path):
    root = tmp_path / "set"
    write_synthetic(root, SyntheticSet(**TINY))
    (root / "train/list.txt").write_text("kept")
    lock_of(root).touch()  # as of a process that was killed in its last moment
    assert not write_synthetic(root, SyntheticSet(**TINY))
    with pytest.raises(ValueError, match="set.*another folder"):
        write_synthetic(root, SyntheticSet(**TINY | {"seed": 4}))
    assert (root / "train/list.txt").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="another folder"):
        write_synthetic(tmp_path, SyntheticSet(**TINY))
    with pytest.raises(ValueError, match="another folder"):
        write_synthetic(tmp_path / "notes.txt", SyntheticSet(**TINY))
    assert content(tmp_path) == {"notes.txt": b"mine"}


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic, "render_scene", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_synthetic(tmp_path / "set", SyntheticSet(**TINY))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "value"), [("train", 0), ("val", -1), ("frames", 1), ("width", 8), ("seed", -1)])
def test_numbers_that_make_no_set_are_refused(tmp_path: Path, name: str, value: int):
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        write_synthetic(tmp_path / "set", SyntheticSet(**TINY | {name: value}))
    assert list(tmp_path.iterdir()) == []
