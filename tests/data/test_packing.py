"""Packing goes on after any end, refuses what does not belong together, and verifying finds every damage."""

import os
import re
import resource
import shutil
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lmdb
import miniatures
import numpy as np
import pytest
from one_sequence import read_dataset

from lib.data.datasets.record import Dataset, Entry
from lib.data.datasets.registry import DATASETS
from lib.data.files.source import Source
from lib.data.stores import packing
from lib.data.stores.packed import DATA, MANIFEST_KEY, Manifest, close_store, open_source, open_store, record_key
from lib.data.stores.packing import pack_dataset, verify_packed
from lib.data.types import FrameFiles, NumberedNames, Sequence
from lib.runtime.locks import lock_of, only_writer

LENGTHS = [4, 3, 5]


@pytest.fixture
def root(tmp_path) -> Path:
    """GOT-10k's folders train and val in miniature."""
    miniatures.write_got10k(tmp_path / "got10k", "train", LENGTHS)
    return miniatures.write_got10k(tmp_path / "got10k", "val", [2])


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def small_batches(monkeypatch):
    """Three files a transaction."""
    monkeypatch.setattr(packing, "BATCH", 3)


def pack(root: Path, target: Path) -> packing.PackSummary:
    return pack_dataset("got10k", ["full", "official_val"], root, target)


def verify(target: Path, root: Path | None = None) -> list[str]:
    """``verify_packed`` without another process, whose start takes most of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "Processes", ThreadPoolExecutor)
        problems = verify_packed(target, root)
    close_store(target)
    return problems


def content(target: Path) -> dict[bytes, bytes]:
    """All keys and values of a store."""
    close_store(target)
    with lmdb.open(str(target), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return dict(transaction.cursor())


def change(target: Path, values: dict[bytes, bytes | None]) -> None:
    """Put values into a store, or take them away, as no program does."""
    close_store(target)
    with lmdb.open(str(target), map_size=2**26) as environment, environment.begin(write=True) as transaction:
        for key, value in values.items():
            assert transaction.delete(key) if value is None else transaction.put(key, value)


def error_of(call: Callable[[], object]) -> str:
    with pytest.raises(ValueError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_values_are_the_files_and_keys_their_paths(root, target):
    (root / "train" / "GOT-10k_Train_000002" / "00000002.jpg").write_bytes(b"")
    image = root / "train" / "GOT-10k_Train_000003" / "00000001.jpg"
    image.write_bytes(image.read_bytes()[:-100])
    files = {str(file.relative_to(root)).encode(): file.read_bytes() for file in root.rglob("*.*")}
    summary = pack(root, target)
    stored = content(target)
    assert {key: value for key, value in stored.items() if not key.startswith(b"\0")} == files
    size = sum(map(len, files.values()))
    assert (summary.manifest.files, summary.manifest.size) == (len(files), size)
    assert summary.written == len(files)
    assert summary.manifest.splits == {"full": 3, "official_val": 1}
    assert summary.text() == (
        f"{target}: got10k full (3 sequences), official_val (1 sequences), {len(files)} files, {size / 1e6:.1f} MB; "
        f"{len(files)} files written"
    )
    assert sorted(path.name for path in target.iterdir()) == [DATA, "lock.mdb"]


def test_what_lies_together_in_a_sequence_lies_together_in_the_file(root, target):
    for file in root.rglob("*.jpg"):
        file.write_bytes(str(file).encode() * 200)  # a value of its own, as long as an image's
    pack(root, target)
    data = (target / DATA).read_bytes()
    train = read_dataset("got10k", "full", root)
    places = [data.index(frame.read_bytes()) for sequence in train for frame in sequence.frames]
    assert places == sorted(places)


def test_the_same_command_again_changes_nothing(root, target):
    first = pack(root, target)
    before = (target / DATA).read_bytes()
    again = pack(root, target)
    assert again.text().endswith(f"{first.manifest.files} files, {first.manifest.size / 1e6:.1f} MB, packed before")
    assert pack_dataset("got10k", ["official_val"], root, target).written == 0
    assert (target / DATA).read_bytes() == before


def test_a_run_that_fails_is_gone_on_with(root, target, tmp_path, small_batches, monkeypatch):
    pack(root, tmp_path / "unbroken")
    read = Counter()
    original = packing._put
    fails_at = puts = 0

    def put(environment: lmdb.Environment, values: dict[bytes, bytes]) -> None:
        nonlocal puts
        puts += 1
        if puts == fails_at:
            raise KeyboardInterrupt
        original(environment, values)
        read.update(list(values))

    monkeypatch.setattr(packing, "_put", put)
    while fails_at < 40:
        fails_at, puts = fails_at + 1, 0
        try:
            pack(root, target)
        except KeyboardInterrupt:
            state = "holds nothing" if fails_at == 1 else "not packed completely"
            assert state in error_of(lambda: open_source(target))
        else:
            break
    assert fails_at > 5
    assert content(target) == content(tmp_path / "unbroken")
    assert {key: count for key, count in read.items() if count > 1} == {MANIFEST_KEY: read[MANIFEST_KEY]}


def in_child(work: Callable[[], None]) -> int:
    """The status of a process that did this, 1 if it raised."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def test_the_space_grows_with_the_dataset(root, target, tmp_path, monkeypatch):
    pack(root, tmp_path / "roomy")
    monkeypatch.setattr(packing, "ADDRESSES", 2**14)
    pack(root, target)
    assert content(target) == content(tmp_path / "roomy")


def test_a_full_disk_is_one_line_and_gone_on_with(root, target, tmp_path, small_batches):
    pack(root, tmp_path / "unbroken")

    def pack_on_small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        message = error_of(lambda: pack(root, target))
        (tmp_path / "message").touch()
        assert message.startswith(f"{target / DATA}: cannot be written (")
        assert message.endswith("make room if the disk is full, then run the same command again: it goes on from here")

    assert in_child(pack_on_small_disk) == 0
    assert (tmp_path / "message").exists()
    packed_already = len(content(target))
    assert packed_already > 3
    summary = pack(root, target)
    assert 0 < summary.written < summary.manifest.files
    assert content(target) == content(tmp_path / "unbroken")


def test_missing_images_are_counted_and_can_be_added(root, target, tmp_path):
    frames = [frame for sequence in read_dataset("got10k", "full", root) for frame in sequence.frames]
    pack(root, tmp_path / "unbroken")
    kept = tmp_path / "kept"
    shutil.copytree(root, kept)
    # Frames that a listing names and that cannot be read: links that lead nowhere, or round in a loop.
    for number, frame in enumerate(frames[:7]):
        frame.unlink()
        frame.symlink_to(frame if number == 6 else "gone")
    message = error_of(lambda: pack(root, target))
    named = ", ".join(f"{frame} (No such file or directory)" for frame in frames[:5])
    assert message == (
        f"7 files cannot be read: {named} and 2 more; complete the dataset, then run the same command again: "
        f"the others lie in {target}"
    )
    assert "not packed completely" in error_of(lambda: open_source(target))
    for frame in frames[:6]:
        frame.unlink()
        shutil.copy2(kept / frame.relative_to(root), frame)
    assert error_of(lambda: pack(root, target)).startswith(
        f"1 files cannot be read: {frames[6]} (Too many levels of symbolic links); complete"
    )
    frames[6].unlink()
    shutil.copy2(kept / frames[6].relative_to(root), frames[6])
    assert pack(root, target).written == 1
    own = (b"\0manifest", b"\0record")
    expected = {key: value for key, value in content(tmp_path / "unbroken").items() if not key.startswith(own)}
    assert {key: value for key, value in content(target).items() if not key.startswith(own)} == expected
    assert verify(target, root) == []


@pytest.mark.parametrize("file", ["train/GOT-10k_Train_000001/00000002.jpg", "train/list.txt"])
def test_a_source_that_has_changed_is_refused(root, target, file):
    pack(root, target)
    shutil.copy(root / file, root / "other")
    os.replace(root / "other", root / file)
    message = f"{root / file}: has changed or is gone since it was packed; remove {target} and pack again"
    assert error_of(lambda: pack(root, target)) == message
    (root / file).unlink()
    assert error_of(lambda: pack(root, target)) == message


def test_a_source_that_changes_meanwhile_is_refused(root, target, monkeypatch):
    original = packing._copy

    def copy(*arguments: object) -> tuple[int, int]:
        (root / "train" / "GOT-10k_Train_000003" / "00000006.jpg").write_bytes(b"new")
        return original(*arguments)

    monkeypatch.setattr(packing, "_copy", copy)
    folder = root / "train" / "GOT-10k_Train_000003"
    message = error_of(lambda: pack(root, target))
    assert message == f"{folder}: changed while the dataset was packed; run the same command again"
    assert "not packed completely" in error_of(lambda: open_source(target))


def test_targets_that_hold_something_else_are_refused(root, target, tmp_path, monkeypatch):
    pack(root, target)
    boxes = miniatures.write_frames(tmp_path / "itb" / "Scene" / "dog", "%04d.jpg", 1, 2)
    miniatures.write_boxes(tmp_path / "itb" / "Scene" / "dog" / "groundtruth.txt", boxes)
    held = f"{target}: holds got10k full official_val, and others may read it; pack all splits into another folder"
    assert error_of(lambda: pack_dataset("itb", ["test"], tmp_path / "itb", target)).startswith(held)
    assert error_of(lambda: pack_dataset("got10k", ["full", "test"], root, target)).startswith(held)
    with monkeypatch.context() as patch:
        patch.setattr(Source, "changed", lambda *_: pytest.fail("stop"))
        with pytest.raises(pytest.fail.Exception, match="stop"):
            pack(root, tmp_path / "part")
    message = error_of(lambda: pack_dataset("got10k", ["full"], root, tmp_path / "part"))
    assert message == (
        f"{tmp_path / 'part'}: holds a part of got10k full official_val; pack all splits into another folder at once, "
        f"or go on with: python tracking/prepare_data.py pack got10k --root {root} --split full --split official_val "
        f"--out {tmp_path / 'part'}"
    )
    change(tmp_path / "part", {MANIFEST_KEY: Manifest("got10k", {"full": 3, "official_val": 1}, str(root)).encode()})
    message = error_of(lambda: pack(root, tmp_path / "part"))
    assert message.endswith("part: is damaged, or an earlier version began to pack it; remove it and pack again")
    foreign = tmp_path / "foreign"
    with lmdb.open(str(foreign)) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"train/list.txt", b"")
    assert "holds an LMDB that another program packed" in error_of(lambda: pack(root, foreign))
    (foreign / DATA).write_bytes(b"something")
    assert "cannot be opened as an LMDB" in error_of(lambda: pack(root, foreign))


def test_places_and_splits_that_cannot_be_packed(root, target, tmp_path):
    pack(root, target)
    assert error_of(lambda: pack(target, tmp_path / "again")).startswith(f"{target}: is packed already;")
    assert error_of(lambda: pack(tmp_path / "nowhere", tmp_path / "again")).startswith(
        f"{tmp_path / 'nowhere'}: no such"
    )
    assert "lies in the dataset's folder" in error_of(lambda: pack(root, root))
    assert "lies in the dataset's folder" in error_of(lambda: pack(root, root / "lmdb"))
    assert "got10k has no split 'trian'" in error_of(
        lambda: pack_dataset("got10k", ["trian"], root, tmp_path / "again")
    )
    assert "name a split" in error_of(lambda: pack_dataset("got10k", [], root, tmp_path / "again"))
    truth = root / "val" / "GOT-10k_Val_000001" / "groundtruth.txt"
    truth.write_text("1,2,3,4\nnonsense\n")
    assert f"{truth}: line 2" in error_of(lambda: pack(root, tmp_path / "again"))
    assert not (tmp_path / "again").exists()


def test_a_store_under_a_name_that_is_no_utf8(root, tmp_path):
    """LMDB refuses such a name."""
    target = tmp_path / "\udcd0"
    pack(root, target)
    close_store(target)
    target.rename(tmp_path / "lmdb")
    assert verify(tmp_path / "lmdb", root) == []
    (tmp_path / "lmdb").rename(target)
    assert pack(root, target).written == 0
    close_store(target)


def test_what_an_lmdb_cannot_hold_is_refused(root, target, tmp_path, monkeypatch):
    def fake(folder: Path, names: list[str]) -> Dataset:
        frames = FrameFiles(folder, names)
        sequence = Sequence("a", "fake", frames, np.ones((1, 4)), np.ones(1, bool))
        return Dataset("fake", lambda source, split: iter([Entry("a", lambda: sequence)]), ("all",))

    monkeypatch.setitem(DATASETS, "fake", fake(tmp_path / "cache" / "video", ["1.jpg"]))
    message = error_of(lambda: pack_dataset("fake", ["all"], root, target))
    assert message.startswith(f"{tmp_path / 'cache' / 'video'}: the frames of a lie outside of {root}, as those of")
    monkeypatch.setitem(DATASETS, "fake", fake(root / "train", ["a" * 600]))
    assert "a path of more than 511 bytes" in error_of(lambda: pack_dataset("fake", ["all"], root, target))
    monkeypatch.setitem(DATASETS, "fake", Dataset("fake", lambda source, split: iter([]), ("all",)))
    assert "holds no sequence of fake all" in error_of(lambda: pack_dataset("fake", ["all"], root, target))


def test_frames_that_sequences_share_are_packed_once(root, target, monkeypatch):
    folder = root / "train" / "GOT-10k_Train_000001"
    parts = [FrameFiles(folder, NumberedNames("%08d.jpg", first, 3)) for first in (1, 2, 1)]
    sequences = [Sequence(str(n), "fake", part, np.ones((3, 4)), np.ones(3, bool)) for n, part in enumerate(parts)]
    entries = [Entry(sequence.name, lambda sequence=sequence: sequence) for sequence in sequences]
    monkeypatch.setitem(DATASETS, "fake", Dataset("fake", lambda source, split: iter(entries), ("all",)))
    assert pack_dataset("fake", ["all"], root, target).manifest.files == 4
    assert verify(target, root) == []


def test_two_cannot_pack_at_once(root, target):
    target.mkdir()
    with only_writer(target):
        assert error_of(lambda: pack(root, target)).startswith(f"{target}: process {os.getpid()} on ")
    assert pack(root, target).written > 0
    lock_of(target).touch()  # as of a process that was killed in its last moment
    assert pack(root, target).written == 0 and not lock_of(target).exists()


def test_a_whole_store_verifies_and_does_not_need_its_lock(root, target, small_batches):
    pack(root, target)
    (target / "lock.mdb").unlink()
    assert verify(target, root) == []
    image = root / "train" / "GOT-10k_Train_000001" / "00000003.jpg"
    content_before = image.read_bytes()
    image.write_bytes(content_before + b"\0")
    (root / "val" / "list.txt").unlink()
    assert sorted(verify(target, root)) == [
        f"{target}:train/GOT-10k_Train_000001/00000003.jpg: differs from {image}; copy or pack it again",
        f"{target}:val/list.txt: cannot be compared with {root / 'val/list.txt'} (No such file or directory); "
        "copy or pack it again",
    ]


KEY = "train/GOT-10k_Train_000002/00000003.jpg"


def write_large(root: Path) -> bytes:
    """An image too large to lie among the keys, so that it is stored in pages of its own."""
    image = np.random.default_rng(0).bytes(20_000)
    (root / KEY).write_bytes(image)
    return image


def test_a_flipped_bit_is_named(root, target, small_batches):
    image = write_large(root)
    pack(root, target)
    data = bytearray((target / DATA).read_bytes())
    assert data.count(image) == 1
    data[data.index(image) + 12_345] ^= 1
    (target / DATA).write_bytes(data)
    assert verify(target) == [
        f"{target}:{KEY}: differs from the packed file: its checksum differs; copy or pack it again"
    ]


def test_missing_and_foreign_values_are_named(root, target, small_batches, monkeypatch):
    pack(root, target)
    whole = content(target)
    files = open_store(target).manifest.files
    change(target, {KEY.encode(): None, b"more": b"", b"even more": b""})
    assert verify(target) == [
        f"{target}:{KEY}: is missing; copy or pack it again",
        f"{target / DATA}: holds {len(whole) + 1} keys and records of {files} files, its manifest states {len(whole)} "
        f"and {files}; pack it again",
    ]
    images = [key for key in whole if key.endswith(b".jpg")]
    change(target, {b"more": None, b"even more": None} | dict.fromkeys(images, b"short"))
    monkeypatch.setattr(packing, "MAX_PROBLEMS", 4)
    *problems, more = verify(target)
    first = f"{target}:train/GOT-10k_Train_000001/00000001.jpg: has 5 bytes instead of"
    assert len(problems) == 4 and problems[0].startswith(first)
    assert more == f"{target}: {len(images) - 4} problems more"


def test_damaged_records_are_named(root, target, small_batches):
    pack(root, target)
    record = content(target)[record_key(1)]
    change(target, {record_key(1): record[:-2] + b"??"})
    assert verify(target) == [f"{target / DATA}: the record of batch 1 is damaged; copy or pack it again"]
    change(target, {record_key(1): zlib.compress(b"[]")})
    [problem] = verify(target)
    assert "keys and records of" in problem


@pytest.mark.slow
def test_a_tree_that_kills_its_reader_is_named(root, target):
    image = write_large(root)
    pack(root, target)
    data = bytearray((target / DATA).read_bytes())
    # Before its key a value's size, whose third byte would put its end behind the end of the file.
    places = [match.start() - 8 for match in re.finditer(re.escape(KEY.encode()), data)]
    places = [place for place in places if int.from_bytes(data[place : place + 4], "little") == len(image)]
    assert len(places) > 0
    for place in places:
        data[place + 3] = 1
    (target / DATA).write_bytes(data)
    (problem,) = verify_packed(target)
    assert problem.startswith(f"{target / DATA}: a process that read it was killed: it is damaged, or")


def test_what_cannot_be_verified_is_one_line(root, target):
    target.mkdir()
    assert verify(target) == [f"{target / DATA}: No such file or directory; check the path, or pack the dataset again"]
    pack(root, target)
    change(target, {MANIFEST_KEY: None})
    assert verify(target) == [f"{target}: packed by another program, so there is nothing to verify it against"]
