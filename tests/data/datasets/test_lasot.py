"""LaSOT's layouts in miniature, its flags, its lists, and what is wrong with a broken copy."""

import logging
from pathlib import Path

import numpy as np
import pytest
from miniatures import write_lasot
from one_sequence import read_dataset

from lib.data.datasets import lasot
from lib.data.datasets.registry import DATASETS
from lib.data.files.source import Source
from lib.data.types import Sequence

LENGTHS = {"airplane-2": 4, "airplane-10": 3, "zebra-1": 2}


@pytest.fixture
def short_lists(monkeypatch):
    """Lists of a few names in place of the published ones."""
    lists = {"train": ["zebra-1", "airplane-10"], "test": ["airplane-2"], "extension": ["atv-1", "atv-2"]}
    for split, names in lists.items():
        monkeypatch.setitem(lasot.LASOT_NAMES, split, lambda names=names: names)


def read(root: Path, split: str = "full", dataset: str = "lasot") -> list[Sequence]:
    return read_dataset(dataset, split, root)


def names(sequences: list[Sequence]) -> list[str]:
    return [sequence.name for sequence in sequences]


def test_a_sequence_is_read_whole(tmp_path):
    write_lasot(tmp_path, {"zebra-1": 5})
    folder = tmp_path / "zebra" / "zebra-1"
    (folder / "groundtruth.txt").write_text("1,2,3,4\n1,2,3,4\n5,6,0,4\n5,6,3,0\n0,0,0,0\n")
    (folder / "full_occlusion.txt").write_text("0,1,0,0,0")
    (folder / "out_of_view.txt").write_text("0\n0\n0\n0\n1\n")
    (sequence,) = read(tmp_path)
    assert (sequence.name, sequence.dataset, sequence.image_set, len(sequence)) == ("zebra-1", "lasot", False, 5)
    assert list(sequence.frames) == [folder / "img" / f"{number:08d}.jpg" for number in range(1, 6)]
    assert all(frame.exists() for frame in sequence.frames)
    np.testing.assert_array_equal(sequence.boxes, np.loadtxt(folder / "groundtruth.txt", delimiter=","))
    np.testing.assert_array_equal(sequence.absent, [False, True, False, False, True])
    np.testing.assert_array_equal(sequence.visible, [True, False, False, False, False])
    assert sequence.meta == {"class": "zebra"}


@pytest.mark.parametrize("folder", ["", "some copy"])
@pytest.mark.parametrize("by_class", [True, False])
def test_layouts_are_told_apart(tmp_path, caplog, folder, by_class):
    write_lasot(tmp_path / folder, LENGTHS, by_class)
    (tmp_path / "training_set.txt").write_text("airplane-1\n")
    (tmp_path / "airplane.zip").touch()
    (tmp_path / "zips").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    with caplog.at_level(logging.INFO, logger=lasot.__name__):
        sequences = read(tmp_path)
    assert names(sequences) == ["airplane-2", "airplane-10", "zebra-1"]
    for sequence in sequences:
        parent = tmp_path / folder / sequence.name.split("-")[0] if by_class else tmp_path / folder
        assert sequence.frames[0] == parent / sequence.name / "img" / "00000001.jpg"
        assert (len(sequence), sequence.meta["class"]) == (LENGTHS[sequence.name], sequence.name.split("-")[0])
    assert caplog.messages == [f"lasot: 3 sequences lie in {tmp_path / folder}"]


def test_splits_follow_their_lists(tmp_path, short_lists):
    write_lasot(tmp_path, LENGTHS | {"atv-1": 2, "atv-2": 2})
    assert names(read(tmp_path, "train")) == ["zebra-1", "airplane-10"]
    assert names(read(tmp_path, "test")) == ["airplane-2"]
    assert len(read(tmp_path)) == 5
    # GRM keeps the extension under the root of LaSOT; OSTrack has it as a dataset of its own.
    extension, own = read(tmp_path, "extension"), read(tmp_path, "test", "lasot_extension_subset")
    assert names(extension) == names(own) == ["atv-1", "atv-2"]
    assert {sequence.dataset for sequence in extension} == {"lasot"}
    assert {sequence.dataset for sequence in own} == {"lasot_extension_subset"}


@pytest.mark.parametrize("by_class", [True, False])
def test_the_extension_under_its_own_root(tmp_path, short_lists, by_class):
    write_lasot(tmp_path / "lasot", LENGTHS)
    write_lasot(tmp_path / "extension", {"atv-1": 2, "atv-2": 2}, by_class)
    assert names(read(tmp_path / "extension", "test", "lasot_extension_subset")) == ["atv-1", "atv-2"]
    with pytest.raises(ValueError, match="holds no sequence of lasot_extension_subset test in a"):
        read(tmp_path / "lasot", "test", "lasot_extension_subset")


def test_a_folder_in_the_root_may_hold_what_the_root_does_not(tmp_path, short_lists):
    """The archive of the test split unpacked inside the folder of the training split."""
    write_lasot(tmp_path, {"zebra-1": 2, "airplane-10": 2})
    write_lasot(tmp_path / "LaSOTTesting", {"airplane-2": 2}, by_class=False)
    assert names(read(tmp_path, "train")) == ["zebra-1", "airplane-10"]
    (sequence,) = read(tmp_path, "test")
    assert sequence.frames[1] == tmp_path / "LaSOTTesting" / "airplane-2" / "img" / "00000002.jpg"


@pytest.mark.parametrize("link", [False, True])
def test_a_missing_list_entry_hides_no_other(tmp_path, short_lists, link):
    """Nor does one whose class is a link to itself."""
    write_lasot(tmp_path, {"airplane-10": 3})
    if link:
        (tmp_path / "zebra").symlink_to(tmp_path / "zebra")
    entries = list(DATASETS["lasot"].entries(Source(tmp_path), "train"))
    assert [entry.name for entry in entries] == ["zebra-1", "airplane-10"]
    assert entries[1].read().name == "airplane-10"
    with pytest.raises(ValueError, match=f"^{tmp_path}/zebra/zebra-1/.*; check the dataset's path"):
        entries[0].read()


def test_the_published_lists():
    lists = {split: names() for split, names in lasot.LASOT_NAMES.items()}
    counts = {split: len(members) for split, members in lists.items()}
    assert counts == {"train": 1120, "test": 280, "extension": 150}
    assert DATASETS["lasot_extension_subset"].count("test") == 150 and DATASETS["lasot"].count("full") is None
    everything = [name for members in lists.values() for name in members]
    assert len(set(everything)) == len(everything) == 1550
    classes = {split: {name.rpartition("-")[0] for name in members} for split, members in lists.items()}
    assert classes["train"] == classes["test"] and len(classes["train"]) == 70
    assert len(classes["extension"]) == 15 and not classes["extension"] & classes["train"]
    # What reading relies on: the class is the text before the first "-", which is the last one too.
    assert all(name.partition("-")[0] == name.rpartition("-")[0] for name in everything)
