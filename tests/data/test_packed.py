"""A packed dataset answers as its folder does, is shared by processes, and is refused when it is not whole."""

import json
import logging
import pickle
import shutil
import zlib
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path

import lmdb
import miniatures
import numpy as np
import pytest
import same_samples
from one_sequence import read_dataset

from lib.data.augment import JitterConfig
from lib.data.decoding.images import ImageError, read_image
from lib.data.files.source import Source
from lib.data.loader import load_batches
from lib.data.pairs import DataConfig, Pairs, SourceConfig
from lib.data.pools import Pool
from lib.data.stores.index import open_dataset
from lib.data.stores.packed import (
    DATA,
    MANIFEST_KEY,
    PackedFile,
    PackedSource,
    close_store,
    open_source,
    open_store,
)
from lib.data.stores.packing import pack_dataset
from lib.data.types import Sequence
from lib.geometry.crop import CropConfig


def write_own(root: Path) -> None:
    for split in ("train", "val"):
        boxes = miniatures.write_frames(root / split / "car", "frame %d.jpg", 9, 3)
        miniatures.write_boxes(root / split / "car" / "groundtruth.txt", boxes)


LAYOUTS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "got10k": ("full", lambda root: miniatures.write_got10k(root, "train", [3, 4])),
    "coco": ("train2017", lambda root: miniatures.write_coco(root, 3, folder="")),
    "imagenet_vid": ("train", lambda root: miniatures.write_imagenet_vid(root, 3, {"v": {"0": range(3), "1": [1]}})),
    "own": ("all", write_own),
}


def assert_same(sequence: Sequence, other: Sequence, source: Source, packed_source: Source) -> None:
    for item in fields(Sequence):
        value, expected = getattr(sequence, item.name), getattr(other, item.name)
        if item.name == "frames":
            assert list(value.names) == list(expected.names)
            assert packed_source.key_of(value.folder) == source.key_of(expected.folder)
            for frame, file in zip(value, expected, strict=True):
                assert frame.name == file.name
                assert frame.read_bytes() == file.read_bytes()
        else:
            np.testing.assert_equal(value, expected)  # also of a tuple of arrays


@pytest.fixture
def write(tmp_path) -> Callable[..., tuple[Path, Path]]:
    """``(dataset) -> (folder, store)``: a dataset in a folder, among other things, and the same packed."""

    def write(dataset: str) -> tuple[Path, Path]:
        split, write_folder = LAYOUTS[dataset]
        root = tmp_path / "folder"
        write_folder(root)
        (root / "readme.txt").write_text("unpack here")
        (root / "empty").mkdir()
        pack_dataset(dataset, [split], root, tmp_path / "store")
        return root, tmp_path / "store"

    return write


@pytest.mark.parametrize("dataset", LAYOUTS)
def test_sequences_are_those_of_the_folder(write, dataset):
    """Also without the files of the folder that no reader asks for."""
    root, store = write(dataset)
    split, _ = LAYOUTS[dataset]
    sequences = read_dataset(dataset, split, root)
    shutil.move(root, root.with_name("elsewhere"))
    from_store = read_dataset(dataset, split, store)
    shutil.move(root.with_name("elsewhere"), root)
    assert len(sequences) > 0
    for sequence, expected in zip(from_store, sequences, strict=True):
        assert_same(sequence, expected, Source(root), open_source(store))


def test_the_root_is_called_as_the_folder_was(tmp_path):
    boxes = miniatures.write_frames(tmp_path / "my car", "%d.jpg", 1, 2)
    miniatures.write_boxes(tmp_path / "my car" / "groundtruth.txt", boxes)
    pack_dataset("own", ["all"], tmp_path / "my car", tmp_path / "store")
    [expected] = read_dataset("own", "all", tmp_path / "my car")
    [sequence] = read_dataset("own", "all", tmp_path / "store")
    assert sequence.name == expected.name == "my car"


def test_texts_are_decoded_as_those_of_a_folder(tmp_path):
    root, store = miniatures.write_got10k(tmp_path / "folder", "val", [2]), tmp_path / "store"
    meta = root / "val" / "GOT-10k_Val_000001" / "meta_info.ini"
    meta.write_bytes(b"object_class: caf\xe9\r\nmotion_class: r\xc3\xbcck\r")
    pack_dataset("got10k", ["official_val"], root, store)
    [sequence], [expected] = (read_dataset("got10k", "official_val", place) for place in (store, root))
    assert sequence.meta == expected.meta == {"object_class": "caf\ufffd", "motion_class": "rück"}


def write_lmdb(target: Path, values: dict[bytes, bytes]) -> None:
    with lmdb.open(str(target), map_size=2**24) as environment, environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key, value)


def test_listings_are_those_of_the_same_files_in_a_folder(tmp_path):
    files = ["a/b", "a/c/d", "a/c/e", "a.b/x", "a-b/x", "a0", "a b", "ab/c", "ü/z/ö", "Z", "c/d/e/f/g", "\x01", "z~/y"]
    for file in files:
        (tmp_path / "folder" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / file).touch()
    write_lmdb(tmp_path / "store", {file.encode(): b"" for file in files} | {b"\0manifestation": b""})
    source = Source(tmp_path / "folder")
    folders = [str(path.relative_to(source.root)) for path in source.root.rglob("*")]
    packed_source = PackedSource(tmp_path / "store")
    for key in ("", *folders, "a/c/d/e", "b", "ü/z/ö" * 200):
        assert packed_source.exists(key) == source.exists(key), key
        assert packed_source.is_folder(key) == source.is_folder(key), key
        if source.is_folder(key):
            assert packed_source.names(key) == source.names(key)
    assert not packed_source.exists("a/")


def test_a_packed_file_stands_for_a_path(write):
    _, store = write("got10k")
    [sequence, _] = read_dataset("got10k", "full", store)
    frame = sequence.frames[1]
    assert str(frame) == f"{store}:train/GOT-10k_Train_000001/00000002.jpg"
    assert frame.name == "00000002.jpg"
    same, other = sequence.frames.folder / "00000002.jpg", sequence.frames[0]
    assert frame == same and hash(frame) == hash(same) and frame != other and frame != str(frame)
    again = pickle.loads(pickle.dumps(sequence.frames))
    assert again[1] == frame and again[1].read_bytes() == frame.read_bytes()
    assert PackedFile(store) / "train" == open_source(store).location("train")
    assert str(open_source(store).location("/somewhere/else")) == "/somewhere/else"


def test_what_was_not_packed_is_one_line(write):
    _, store = write("got10k")
    [sequence, _] = read_dataset("got10k", "full", store)
    with pytest.raises(ImageError) as caught:
        read_image(sequence.frames.folder / "00000009.jpg")
    assert str(caught.value) == (
        f"{store}:train/GOT-10k_Train_000001/00000009.jpg: cannot read the image (not in the packed dataset)"
    )
    with pytest.raises(ValueError, match=r"store:val/list\.txt: not in the packed dataset, which holds got10k full;"):
        read_dataset("got10k", "official_val", store)
    with pytest.raises(ValueError, match=r"store:train/list\.txt: not in the packed dataset"):
        open_source(store).names("train/list.txt")
    with pytest.raises(ValueError, match=r"store:: not in the packed dataset"):
        open_source(store).text("")
    assert not open_source(store).exists("a" * 1000)
    with pytest.raises(FileNotFoundError):
        PackedFile(store, "a" * 1000).read_bytes()


def test_an_index_is_made_of_it_and_kept_until_it_changes(write, tmp_path, caplog):
    root, store = write("got10k")
    cache = tmp_path / "cache"
    first = open_dataset("got10k", "full", store, cache)
    stamp = (store / DATA).stat().st_size, (store / DATA).stat().st_mtime_ns
    assert set(first.source.stamps.values()) == {stamp}
    with caplog.at_level(logging.INFO, logger="lib.data.stores.index"):
        again = open_dataset("got10k", "full", store, cache)
        assert "made again" not in caplog.text
    for sequence, expected in zip(again, open_dataset("got10k", "full", root, cache), strict=True):
        assert_same(sequence, expected, Source(root), again.source)
    shutil.rmtree(store)
    miniatures.write_got10k(root, "train", [5, 6, 7])
    pack_dataset("got10k", ["full"], root, store)
    changed = open_dataset("got10k", "full", store, cache)
    assert [len(sequence) for sequence in changed] == [5, 6, 7]
    assert changed[2].frames[6].read_bytes() == miniatures.jpeg(6)


def make_pairs(root: Path, cache: Path) -> Pairs:
    config = DataConfig(
        train=(SourceConfig(name="got10k", split="full"),),
        samples_per_epoch=1,
        max_gap=9,
        search_jitter=JitterConfig(center=3.0, scale=0.25),
    )
    pools = [Pool(open_dataset("got10k", "full", root, cache))]
    return Pairs(config, pools, CropConfig(size=32, factor=2.0), CropConfig(size=64, factor=4.0), 0)


@pytest.fixture
def got10k_twice(tmp_path) -> tuple[Path, Path]:
    """Sequences long enough to draw from, in a folder and packed."""
    root = miniatures.write_got10k(tmp_path / "folder", "train", [24, 30])
    pack_dataset("got10k", ["full"], root, tmp_path / "store")
    return root, tmp_path / "store"


def test_samples_are_those_of_the_folder(got10k_twice, tmp_path):
    folder, store = (make_pairs(root, tmp_path / "cache") for root in got10k_twice)
    for number in range(12):
        same_samples.assert_same(store.sample(number), folder.sample(number))


@pytest.mark.slow
def test_workers_read_it(got10k_twice, tmp_path):
    pairs = make_pairs(got10k_twice[1], tmp_path / "cache")
    groups = [range(0, 4), range(4, 8)]
    for batch, expected in zip(load_batches(pairs, groups, 2), load_batches(pairs, groups, 0), strict=True):
        same_samples.assert_same(batch, expected)


def refusal(store: Path) -> str:
    """The message, one line, of opening what is not whole; a file in it is an unreadable image then."""
    close_store(store)
    with pytest.raises(ValueError) as caught:
        open_source(store)
    with pytest.raises(ImageError, match=r"train/a\.jpg: cannot read the image"):
        read_image(PackedFile(store, "train/a.jpg"))
    assert "\n" not in str(caught.value) and str(store) in str(caught.value)
    return str(caught.value)


def test_a_file_cut_short_is_refused_wherever_it_ends(write):
    _, store = write("got10k")
    whole = (store / DATA).read_bytes()
    for size in (1, 100, 4096, 5000, 8192, len(whole) // 2, len(whole) - 4096, len(whole) - 1):
        (store / DATA).write_bytes(whole[:size])
        expected = "cut short" if size > 4096 else "cannot be opened as an LMDB"
        assert expected in refusal(store), size
    (store / DATA).write_bytes(b"")
    assert refusal(store) == f"{store / DATA}: cannot be opened as an LMDB (the file is empty); copy or pack it again"
    (store / DATA).write_bytes(whole)
    assert len(read_dataset("got10k", "full", store)) == 2


def test_other_files_are_refused(write):
    _, store = write("got10k")
    (store / DATA).write_bytes(b"no LMDB at all" * 1000)
    assert "cannot be opened as an LMDB" in refusal(store)


def test_manifests_that_forbid_reading(write):
    _, store = write("got10k")
    manifest = open_source(store) and open_store(store).manifest
    close_store(store)
    content = manifest.encode()
    write_lmdb(store, {MANIFEST_KEY: content.replace(b"1 ", b"2 ", 1)})
    assert refusal(store) == f"{store}: packed in format 2, not in this version's 1; pack it again"
    write_lmdb(store, {MANIFEST_KEY: content[:-3] + b"?" + content[-2:]})
    assert refusal(store) == f"{store}: its manifest is damaged (its checksum differs); copy or pack it again"
    write_lmdb(store, {MANIFEST_KEY: replace(manifest, complete=False, root="/data/got 10k").encode()})
    assert refusal(store).endswith(
        f"not packed completely; go on with: python tracking/prepare_data.py pack got10k --root '/data/got 10k' "
        f"--split full --out {store}"
    )
    write_lmdb(store, {MANIFEST_KEY: content})
    assert len(read_dataset("got10k", "full", store)) == 2


def test_a_store_of_an_earlier_version_is_read(write):
    _, store = write("got10k")
    manifest = open_source(store) and open_store(store).manifest
    close_store(store)
    content = json.dumps(
        asdict(manifest) | {"names": {"": ["train"]}, "kinds": {"val": "folder"}, "digest": "a"}
    ).encode()
    write_lmdb(store, {MANIFEST_KEY: b"1 %08x\n%s" % (zlib.crc32(content), content)})
    assert len(read_dataset("got10k", "full", store)) == 2


def test_what_needs_no_lock_file_and_no_right_to_write(write):
    _, store = write("got10k")
    (store / "lock.mdb").unlink()
    store.chmod(0o555)
    try:
        assert len(read_dataset("got10k", "full", store)) == 2
        assert not (store / "lock.mdb").exists()
    finally:
        store.chmod(0o755)


def test_a_store_that_vanishes_is_an_unreadable_image(write):
    _, store = write("got10k")
    shutil.rmtree(store)
    with pytest.raises(ImageError, match=r"store:train/a\.jpg: cannot read the image \(.*data\.mdb: No such file"):
        read_image(PackedFile(store, "train/a.jpg"))


def test_a_folder_without_a_store_is_a_folder(tmp_path):
    assert type(open_source(tmp_path)) is Source


def test_lmdbs_of_the_lineage_are_read(tmp_path, caplog):
    root = miniatures.write_got10k(tmp_path / "folder", "train", [3, 4])
    files = {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}
    store = tmp_path / "got10k_lmdb"
    write_lmdb(store, {key.encode(): data for key, data in files.items()})
    with caplog.at_level(logging.INFO, logger="lib.data.stores.packed"):
        sequences = read_dataset("got10k", "full", store)
    assert f"{store}: an LMDB packed by another program; it may be incomplete without a sign" in caplog.messages
    for sequence, expected in zip(sequences, read_dataset("got10k", "full", root), strict=True):
        assert_same(sequence, expected, Source(root), PackedSource(store))
    with pytest.raises(ValueError, match=r"got10k_lmdb:val/list\.txt: not in the packed dataset; "):
        read_dataset("got10k", "official_val", store)


def test_a_page_of_another_kind_is_one_line(tmp_path):
    store = tmp_path / "store"
    write_lmdb(store, {b"train/%04d.jpg" % number: bytes(3000) for number in range(400)})
    whole = (store / DATA).read_bytes()
    leaf = next(
        page
        for page in range(2, len(whole) // 4096)
        if whole[page * 4096 + 10] == 2 and whole[page * 4096 : page * 4096 + 8] == page.to_bytes(8, "little")
    )
    damaged = bytearray(whole)
    damaged[leaf * 4096 + 10] = 4  # a leaf of the tree turned into a page of data
    (store / DATA).write_bytes(damaged)
    with pytest.raises(OSError, match=r"data\.mdb: damaged \(.*; copy or pack it again"):
        for number in range(400):
            PackedFile(store, f"train/{number:04d}.jpg").read_bytes()
    with pytest.raises(ValueError, match=r"data\.mdb: damaged"):
        PackedSource(store).names("train")
