"""Writing a crop store: the next write goes on where one was stopped; damage is named; nothing is mixed up."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from crop_stores import LIVELY, SEARCH, TEMPLATE, make_store, open_index, open_store, settings, write_pictures
from miniatures import write_got10k

import lib.data.stores.cropping
from lib.data.augment import jitter_box, mirror_box
from lib.data.sampling import visible_frames
from lib.data.stores.cropping import write_crops
from lib.data.stores.crops import INDEX
from lib.data.stores.reach import CropSettings
from lib.geometry.crop import crop_window
from lib.runtime.locks import LockedError, lock_of

LENGTHS = [5, 3, 4]
COUNT = sum(LENGTHS)


@pytest.fixture
def dataset(tmp_path) -> Path:
    """A folder with three short sequences."""
    write_got10k(tmp_path / "data", "train", LENGTHS)
    return tmp_path


def write(folder: Path, made_for: CropSettings | None = None, target: str = "crops", threads: int = 1):
    return write_crops(
        "got10k", "full", folder / "data", folder / "cache", folder / target, made_for or settings(), threads
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_all_visible_frames_are_stored(dataset):
    labels = dataset / "data" / "train" / "GOT-10k_Train_000003" / "cover.label"
    labels.write_text("8\n0\n8\n8\n")
    summary = write(dataset, threads=2)
    store = open_store(dataset, settings())
    stored = {
        (sequence.name, frame)
        for sequence in open_index(dataset)
        for frame in range(len(sequence))
        if store.find(sequence.name, frame)
    }
    everything = {(f"GOT-10k_Train_{n:06d}", frame) for n, count in enumerate(LENGTHS, 1) for frame in range(count)}
    assert stored == everything - {("GOT-10k_Train_000003", 1)}
    assert (summary.written, summary.frames, summary.sequences, summary.unreadable) == (True, 11, 3, ())
    assert sorted(contents(summary.folder)) == ["000.crops", "001.crops", "002.crops", INDEX]
    images = [path for path in (dataset / "data").rglob("*.jpg") if "3/00000002" not in str(path)]
    assert summary.frame_bytes == sum(path.stat().st_size for path in images)
    assert summary.bytes == sum(len(data) for name, data in contents(summary.folder).items() if name != INDEX)
    lines = summary.text().splitlines()
    assert lines[0] == f"{summary.folder}: written" and lines[1].startswith("11 frames of 3 sequences in 0.0 MB (")
    assert len(lines) == 2 and f"{summary.bytes / summary.frame_bytes:.0%} of the images' 0.0 MB" in lines[1]
    # The same again, and by other threads.
    again = write(dataset)
    assert not again.written and again.text().startswith(f"{summary.folder}: there already, left as it is\n")
    assert (again.bytes, again.frame_bytes, again.frames) == (summary.bytes, summary.frame_bytes, summary.frames)
    assert contents(write(dataset, target="one").folder) == contents(summary.folder)


def test_of_a_video_some_frames_only(dataset):
    every = 3
    write(dataset, settings(every=every))
    store = open_store(dataset, settings(every=every))
    for sequence in open_index(dataset):
        frames = [frame for frame in range(len(sequence)) if store.find(sequence.name, frame)]
        assert (
            frames
            == visible_frames(sequence.visible, every).tolist()
            == sorted({*range(0, len(sequence), every), len(sequence) - 1})
        )


def test_a_stopped_write_goes_on(dataset, monkeypatch):
    whole = contents(write(dataset, target="whole").folder)
    made = []
    original = lib.data.stores.cropping._make_record

    def stopping(*arguments):
        made.append(arguments)
        if len(made) == 7:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(lib.data.stores.cropping, "_make_record", stopping)
    with pytest.raises(KeyboardInterrupt):
        write(dataset)
    [unfinished] = (dataset / "crops").glob(".full.*.unfinished")
    assert not (dataset / "crops" / "full").exists()
    with pytest.raises(ValueError, match="no complete crop store of got10k full; .*: MAKE IT$"):
        open_store(dataset, settings())
    # What a killed process leaves.
    (unfinished / ".0123456789ab.tmp").write_bytes(b"half")
    assert contents(write(dataset).folder) == whole
    assert len(made) == 7 + COUNT - LENGTHS[0], "one part was complete"
    assert not unfinished.exists()


def stop_before_the_end(dataset: Path) -> Path:
    """The folder of a write that was stopped when all its parts were there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lib.data.stores.cropping, "_merge", lambda *_: pytest.fail("stopped"))
        with pytest.raises(pytest.fail.Exception):
            write(dataset)
    [unfinished] = (dataset / "crops").glob(".full.*.unfinished")
    return unfinished


def test_parts_that_were_damaged_meanwhile_are_made_again(dataset):
    whole = contents(write(dataset, target="whole").folder)
    unfinished = stop_before_the_end(dataset)
    (unfinished / "001.crops").write_bytes(b"short")
    (unfinished / "002.index").write_bytes(b"damaged")
    assert contents(write(dataset).folder) == whole


def test_unreadable_images_are_left_out_and_named(dataset):
    folder = dataset / "data" / "train" / "GOT-10k_Train_000001"
    (folder / "00000002.jpg").write_bytes(b"no image")
    (folder / "00000005.jpg").write_bytes((folder / "00000005.jpg").read_bytes()[:-100])
    summary = write(dataset)
    assert summary.frames == COUNT - 2 and len(summary.unreadable) == 2
    assert "00000002.jpg" in summary.unreadable[0] and "00000005.jpg" in summary.unreadable[1]
    store = open_store(dataset, settings())
    assert [frame for frame in range(5) if store.find(folder.name, frame)] == [0, 2, 3]
    lines = summary.text().splitlines()
    assert lines[2] == "2 unreadable images are left out:" and lines[3:] == [f"  {line}" for line in summary.unreadable]
    assert write(dataset).unreadable == summary.unreadable


def test_a_long_list_of_unreadable_images_is_cut(dataset):
    for path in (dataset / "data").rglob("*.jpg"):
        path.write_bytes(b"")
    summary = write(dataset)
    assert summary.frames == 0 and len(summary.unreadable) == COUNT
    lines = summary.text().splitlines()
    assert lines[1] == "0 frames of 3 sequences in 0.0 MB" and len(lines) == 3 + 10 + 1 and lines[-1] == "  ..."
    assert len(open_store(dataset, settings())) == 0


def test_targets_off_the_image_are_left_out(tmp_path):
    boxes = np.array([(10.0, 10, 20, 20), (4000, 10, 20, 20), (10, -4000, 20, 20)])
    write_pictures(tmp_path / "data", [np.full((60, 80, 3), 90, np.uint8)] * 3, boxes)
    summary = write(tmp_path)
    assert summary.frames == 1 and summary.unreadable == ()


@pytest.mark.parametrize("other", ["settings", "annotations"])
def test_an_unfinished_store_of_another_kind_is_not_mixed_in(dataset, other):
    stop_before_the_end(dataset)
    changed = change(dataset, other)
    assert contents(write(dataset, changed).folder) == contents(write(dataset, changed, target="whole").folder)


def change(dataset: Path, other: str) -> CropSettings | None:
    """Change a box if the annotations are to be others; the settings to write with."""
    if other == "annotations":
        boxes = dataset / "data" / "train" / "GOT-10k_Train_000002" / "groundtruth.txt"
        boxes.write_text(boxes.read_text().replace("20", "21", 1))
    return settings(detail=1.5) if other == "settings" else None


@pytest.mark.parametrize("other", ["settings", "annotations"])
def test_nothing_else_is_overwritten(dataset, other):
    folder = write(dataset).folder
    changed = change(dataset, other)
    before = contents(folder)
    with pytest.raises(
        ValueError, match=f"^{folder}: .*other settings, from other annotations or .*; remove it"
    ) as error:
        write(dataset, changed)
    assert "\n" not in str(error.value) and contents(folder) == before


def test_a_folder_with_something_else_is_left_alone(dataset):
    (dataset / "crops" / "full").mkdir(parents=True)
    (dataset / "crops" / "full" / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match="crops/full: holds no crop store, or one .*; remove it or name another"):
        write(dataset)


def test_two_writes_at_once_are_refused(dataset, monkeypatch):
    original = lib.data.stores.cropping._write
    refused = []

    def meanwhile(*arguments) -> None:
        if not refused:
            with pytest.raises(LockedError, match=f"full: process {os.getpid()} on .* is writing it; wait") as error:
                write(dataset)
            refused.append(error)
        original(*arguments)

    monkeypatch.setattr(lib.data.stores.cropping, "_write", meanwhile)
    assert write(dataset).written and refused
    lock = lock_of(dataset / "crops" / "full")
    lock.touch()  # as of a process that was killed in its last moment
    assert not write(dataset).written and not lock.exists()


def test_sequences_of_one_name_are_refused_before_any_work(dataset):
    names = dataset / "data" / "train" / "list.txt"
    names.write_text(names.read_text() + "GOT-10k_Train_000002\n")
    with pytest.raises(ValueError, match="data: 2 sequences are named GOT-10k_Train_000002; rename them"):
        write(dataset)
    assert not (dataset / "crops").exists()


def test_a_link_is_followed(dataset):
    (dataset / "crops").mkdir()
    (dataset / "crops" / "full").symlink_to(dataset / "elsewhere")
    assert write(dataset).frames == COUNT and (dataset / "elsewhere" / INDEX).exists()
    assert not write(dataset).written


def test_a_full_disk_is_named_and_what_is_there_is_kept(dataset, monkeypatch):
    whole = contents(write(dataset, target="whole").folder)
    made = []
    original = lib.data.stores.cropping._encode

    def failing(*arguments):
        made.append(None)
        if len(made) == 7:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*arguments)

    monkeypatch.setattr(lib.data.stores.cropping, "_encode", failing)
    with pytest.raises(OSError, match=r"No space left on device: .*unfinished'"):
        write(dataset)
    assert contents(write(dataset).folder) == whole
    assert len(made) == 7 + COUNT - LENGTHS[0], "one part was complete"


@pytest.mark.slow
@pytest.mark.parametrize("context, flipped", [("area", True), ("perimeter", False)])
def test_at_least_999_of_1000_draws_lie_in_the_stored_surroundings(tmp_path, context, flipped):
    """The promise to training, over 10,000 draws of a dozen targets, by their windows alone."""
    rng = np.random.default_rng(3)
    sizes = rng.uniform(3, 40, (12, 2))
    boxes = np.concatenate([rng.uniform((0, 0), (600, 400), (12, 2)), sizes], axis=1)
    write_pictures(tmp_path / "data", [np.full((420, 640, 3), 90, np.uint8)] * 12, boxes)
    made_for = settings(*(crop.model_copy(update={"context": context}) for crop in (TEMPLATE, SEARCH)))
    make_store(tmp_path, made_for)
    store, sequence = open_store(tmp_path, made_for), open_index(tmp_path)[0]
    records = [store.find(sequence.name, frame) for frame in range(12)]
    missed = 0
    for number in range(10_000):
        frame = number % 12
        record = records[frame]
        box = mirror_box(sequence.boxes[frame], 639) if flipped else sequence.boxes[frame]
        window = crop_window(jitter_box(box, LIVELY, rng, context), SEARCH.factor, context)
        left, top, right, bottom = window.inside((420, 640))
        left, right = (640 - right, 640 - left) if flipped else (left, right)
        shown = left < right and top < bottom
        missed += shown and not (
            record.left <= left and record.top <= top and right <= record.right and bottom <= record.bottom
        )
    assert missed <= 10
    # Were whole frames stored, nothing were saved.
    assert np.mean([(record.right - record.left) * (record.bottom - record.top) for record in records]) < 640 * 420 / 2
