"""The index of annotations: equal to what it was made from, good only as long as that stays, never half a file."""

import errno
import logging
import os
import pickle
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from listed_sequences import ListedSequences
from miniatures import write_coco, write_got10k, write_imagenet_vid, write_trackingnet
from one_sequence import read_dataset

from lib.data.datasets import lasot
from lib.data.datasets.record import Dataset, Entry
from lib.data.datasets.registry import DATASETS
from lib.data.files.source import Source
from lib.data.pools import Pool
from lib.data.stores import index as index_module
from lib.data.stores.index import SequenceIndex, open_dataset
from lib.data.types import FrameFiles, NumberedNames, Sequence

MINIATURES = {
    ("got10k", "full"): partial(write_got10k, folder="train", lengths=[5, 3]),
    ("got10k", "test"): partial(write_got10k, folder="test", lengths=[4, 6], first_box_only=True),
    ("trackingnet", "train_0-1"): partial(
        write_trackingnet, chunks={"TRAIN_0": {"b": 4, "a": 31}, "TRAIN_1": {"c": 2}}
    ),
    ("coco", "train2017"): partial(write_coco, images=4),
    ("imagenet_vid", "train"): partial(write_imagenet_vid, length=6, tracks={"v": {"0": [0, 1, 4], "1": [5]}}),
}


@pytest.fixture
def opened(tmp_path):
    """``(name, split) -> SequenceIndex`` of whatever lies in ``data``, with its cache in ``cache``."""
    return lambda name="got10k", split="full": open_dataset(name, split, tmp_path / "data", tmp_path / "cache")


@pytest.fixture
def got10k(tmp_path) -> Path:
    """Two sequences, changed long ago: what a test changes is not within the clock's tick."""
    root = write_got10k(tmp_path / "data", "train", [5, 3])
    for path in (*root.rglob("*"), root):
        os.utime(path, ns=(10**18, 10**18))
    return root


@pytest.fixture
def messages(caplog):
    """``() -> texts`` of what was logged since the last call."""
    caplog.set_level(logging.INFO, logger="lib.data.stores.index")

    def take() -> str:
        text = "\n".join(record.getMessage() for record in caplog.records)
        caplog.clear()
        return text

    return take


def index_file(tmp_path: Path) -> Path:
    (file,) = (tmp_path / "cache" / "indices").iterdir()
    return file


def assert_same(first: Sequence, second: Sequence) -> None:
    assert (first.name, first.dataset, first.image_set, dict(first.meta), len(first)) == (
        second.name, second.dataset, second.image_set, dict(second.meta), len(second),
    )  # fmt: skip
    assert list(first.frames) == list(second.frames)
    assert (first.outline is None) == (second.outline is None)
    for one, other in zip(first.outline or (), second.outline or (), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    for name in ("boxes", "visible", "cover", "absent"):
        one, other = getattr(first, name), getattr(second, name)
        assert (one is None) == (other is None), name
        if one is not None:
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype and type(one) is np.ndarray, name


def assert_all_same(index: SequenceIndex, sequences: list[Sequence]) -> None:
    assert len(index) == len(sequences)
    for one, other in zip(index, sequences, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize(("name", "split"), MINIATURES)
def test_an_index_is_what_the_reader_reads(tmp_path, opened, messages, name, split):
    MINIATURES[name, split](tmp_path / "data")
    sequences = read_dataset(name, split, tmp_path / "data")
    assert len(sequences) > 0
    for _ in range(2):
        assert_all_same(opened(name, split), sequences)
    assert messages().count("made again") == 0


def odd_sequences(root: Path) -> list[Sequence]:
    """All that a sequence may be; the second differs from the first in each field."""
    rng = np.random.default_rng(0)
    boxes = rng.normal(0, 1000, (7, 4))
    boxes[3] = np.nan
    flags = rng.random(7) < 0.5
    frames = FrameFiles(root / "a", NumberedNames("%08d.jpg", 5, 7))
    listed = FrameFiles(root / "Zürich" / "b c", ["1 %d.jpg", "\udcff.png", "a.b.jpg"])
    far = FrameFiles(Path("/elsewhere/videos"), NumberedNames("%%_%d.jpg", 0, 300))
    one = np.ones(1, bool)
    return [
        Sequence("plain", "odd", frames, boxes, flags),
        Sequence("labelled", "odd", frames, boxes[::-1], ~flags, cover=np.arange(7), absent=flags, meta={"a": "b\n"}),
        Sequence("listed", "odd_subset", listed, boxes[:3], flags[:3], absent=np.zeros(3, bool), meta={"ü": ""}),
        Sequence("first box only", "odd", far, boxes[:1], one),
        Sequence("picture", "odd", FrameFiles(root, ["x.jpg"]), boxes[:1], one, image_set=True, cover=np.array([1000])),
        Sequence("no rows", "odd", FrameFiles(root / "e", []), boxes[:0], flags[:0]),
        Sequence("plain", "odd", frames[2:4], boxes[:2], flags[:2], meta={"a": "b\n"}),
    ]


@pytest.fixture
def odd(tmp_path, monkeypatch) -> list[Sequence]:
    """The sequences of a dataset ``odd`` that the test may change."""
    sequences = odd_sequences(tmp_path / "data")

    def entries(source: Source, split: str) -> Iterator[Entry]:
        source.exists("asked")
        return (Entry(sequence.name, lambda sequence=sequence: sequence) for sequence in sequences)

    monkeypatch.setitem(DATASETS, "odd", Dataset("odd", entries, ("all",), more_splits=True))
    return sequences


def test_odd_sequences_come_back(odd, opened):
    index = opened("odd", "all")
    assert_all_same(index, odd)
    np.testing.assert_array_equal(index.lengths, [7, 7, 3, 300, 1, 0, 2])
    np.testing.assert_array_equal(index.image_sets, [False, False, False, False, True, False, False])


def test_an_index_is_like_a_list(odd, opened):
    index = opened("odd", "all")
    assert_same(index[-2], odd[-2])
    assert_same(index[np.int32(2)], odd[2])
    for wrong in (7, -8):
        with pytest.raises(IndexError, match=f"sequence {wrong} of 7"):
            index[wrong]


@pytest.mark.parametrize(("factor", "kind"), [(0.5, np.float32), (0.1, np.float64), (1e300, np.float64)])
def test_boxes_take_half_the_memory_where_that_loses_nothing(odd, opened, factor, kind):
    boxes = np.array([[1, 2, 3, 4], [5, np.nan, -0.0, np.inf]]) * factor
    odd[:] = [Sequence("a", "odd", FrameFiles(Path("/a"), ["1", "2"]), boxes, np.ones(2, bool))]
    index = opened("odd", "all")
    np.testing.assert_array_equal(index[0].boxes, boxes)
    assert index[0].boxes.dtype == np.float64 and index._columns.arrays["boxes"].dtype == kind


@pytest.mark.parametrize("every", [1, 3, 30])
def test_counts_of_visible_frames_are_those_of_a_loop(odd, opened, every):
    rng = np.random.default_rng(every)
    for number, length in enumerate((1, 2, 3, 30, 31, 32, 61, 0, 90)):
        visible = rng.random(length) < 0.6
        odd.append(Sequence(f"{number}", "odd", odd[0].frames, np.zeros((length, 4)), visible))
    counts = opened("odd", "all").visible_counts(every)
    expected = ListedSequences(odd).visible_counts(every)
    np.testing.assert_array_equal(counts, expected)
    assert counts.dtype == np.int64 and len(set(expected.tolist())) > 2


@pytest.mark.parametrize("every", [1, 30])
def test_what_can_be_drawn_is_the_same_by_columns_and_one_by_one(tmp_path, opened, every):
    write_trackingnet(tmp_path / "data", {"TRAIN_0": {"a": 19, "b": 20, "c": 90, "d": 121, "e": 122}})
    write_coco(tmp_path / "data", 2)
    for index in (opened("trackingnet", "train_0"), opened("coco", "train2017")):
        positions = Pool(index, every=every).positions()
        np.testing.assert_array_equal(positions, Pool(ListedSequences(index), every=every).positions())
        assert len(positions) > 0


def test_nothing_is_read_the_second_time(got10k, opened, monkeypatch, messages):
    opened()
    assert "got10k full: 2 sequences with 8 frames read in " in messages()
    for name in ("text", "names", "is_folder", "exists"):
        monkeypatch.setattr(Source, name, lambda *_: pytest.fail("asked again"))
    monkeypatch.setattr(index_module, "write_columns", lambda *_: pytest.fail("written again"))  # it may be read-only
    assert [len(sequence) for sequence in opened()] == [5, 3]
    assert "got10k full: 2 sequences with 8 frames opened in " in messages()


FIRST = "train/GOT-10k_Train_000001"
CHANGES = {
    "a row": (lambda root: (root / FIRST / "groundtruth.txt").write_text("1,2,3,4\n" * 5), f"{FIRST}/groundtruth.txt"),
    "only the time": (lambda root: os.utime(root / FIRST / "cover.label"), f"{FIRST}/cover.label"),
    "a frame more": (lambda root: (root / FIRST / "cover.jpg").touch(), FIRST),
    "a file that was not there": (lambda root: (root / FIRST / "meta_info.ini").write_text("a: b"), FIRST),
    "the list": (lambda root: (root / "train/list.txt").write_text("GOT-10k_Train_000002"), "train/list.txt"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_has_changed_is_read_again_and_named(tmp_path, got10k, opened, messages, kind):
    opened()
    opened()
    assert "made again" not in messages()
    change, named = CHANGES[kind]
    change(got10k)
    assert_all_same(opened(), read_dataset("got10k", "full", got10k))
    assert f"{got10k / named}: changed since its index was made; the index is made again" in messages()
    opened()
    assert "made again" not in messages()
    index_file(tmp_path)


def test_a_root_that_is_gone_is_told_and_the_index_kept(got10k, opened, messages):
    opened()
    got10k.rename(got10k.with_name("unmounted"))
    with pytest.raises(ValueError, match=r"data/train/list\.txt: No such file"):
        opened()
    got10k.with_name("unmounted").rename(got10k)
    messages()
    assert len(opened()) == 2 and "made again" not in messages()


def test_each_split_and_root_has_its_own_index(tmp_path, got10k, opened):
    write_got10k(got10k, "val", [2])
    other = write_got10k(tmp_path / "other", "train", [4])
    assert [len(opened()), len(opened(split="official_val"))] == [2, 1]
    assert len(open_dataset("got10k", "full", other, tmp_path / "cache")) == 1 and len(opened()) == 2
    names = sorted(path.name for path in (tmp_path / "cache" / "indices").iterdir())
    assert [name.rsplit("-", 1)[0] for name in names] == ["got10k-full", "got10k-full", "got10k-official_val"]


def test_a_split_of_odd_letters_is_a_file_in_the_folder(tmp_path, odd, opened):
    opened("odd", "../a/b c,0-3")
    assert index_file(tmp_path).name.startswith("odd-.._a_b_c_0-3-")


def test_a_relative_root_and_cache(got10k, monkeypatch):
    monkeypatch.chdir(got10k.parent)
    index = open_dataset("got10k", "full", Path("data"), Path("cache"))
    monkeypatch.chdir("/")
    assert_all_same(pickle.loads(pickle.dumps(index)), read_dataset("got10k", "full", got10k))


def test_an_index_of_another_version_is_made_again(got10k, opened, monkeypatch, messages):
    opened()
    monkeypatch.setattr(index_module, "_readers", lambda: "other")
    assert len(opened()) == 2
    assert "of another version of this package" in messages()


def test_the_readers_digest_covers_readers_and_lists(tmp_path, monkeypatch):
    package = tmp_path / "datasets"
    shutil.copytree(Path(lasot.__file__).parent, package)
    monkeypatch.setattr(index_module, "_READERS", [package])
    digests = [index_module._readers.__wrapped__()]
    for path in (package / "got10k.py", package / "lists" / "got10k_train_split.txt"):
        path.write_text(path.read_text() + "\n")
        digests.append(index_module._readers.__wrapped__())
    assert len(set(digests)) == 3


DAMAGE = {
    "empty": lambda data: b"",
    "cut short": lambda data: data[:-10],
    "zeros": lambda data: data[:600] + bytes(len(data) - 600),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_index_is_made_again(tmp_path, got10k, opened, messages, kind):
    opened()
    file = index_file(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(DAMAGE[kind](whole))
    messages()
    assert_all_same(opened(), read_dataset("got10k", "full", got10k))
    assert messages().count("the index is made again") == 1
    assert index_file(tmp_path).read_bytes() == whole


@pytest.mark.parametrize("kind", ["full disk", "a file in its place"])
def test_a_cache_that_cannot_be_written_is_one_line_with_the_remedy(tmp_path, got10k, opened, monkeypatch, kind):
    if kind == "a file in its place":
        (tmp_path / "cache").write_text("")
        reason = "(Not a directory|File exists)"
    else:
        reason = os.strerror(errno.ENOSPC)

        def refuse(*_args) -> None:
            raise OSError(errno.ENOSPC, reason)

        monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(
        ValueError,
        match=rf"cache/indices: cannot keep .* got10k there \({reason}\).*cache in paths.yaml .*TRACKING_CACHE",
    ) as error:
        opened()
    assert "\n" not in str(error.value)


def test_pickling_passes_on_where_it_lies(odd, opened):
    odd.extend(
        Sequence(f"{number}", "odd", odd[0].frames, np.random.default_rng(number).random((100, 4)), np.ones(100, bool))
        for number in range(100)
    )
    index = opened("odd", "all")
    sent = pickle.dumps(index)
    assert len(sent) < 2000 < sum(array.nbytes for array in index._columns.arrays.values())
    again = pickle.loads(sent)
    assert_all_same(again, odd)
    np.testing.assert_array_equal(again.visible_counts(), index.visible_counts())


def test_an_error_of_the_reader_is_its_own_and_leaves_no_index(tmp_path, got10k, opened):
    (got10k / FIRST / "groundtruth.txt").write_text("1,2,3,x\n" * 5)
    with pytest.raises(ValueError, match=r"groundtruth\.txt: line 1 is '1,2,3,x', not 4 numbers"):
        opened()
    assert not (tmp_path / "cache").exists()
