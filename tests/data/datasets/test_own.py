"""A user's own data: images and videos in all layouts that are promised, and what a user may do wrong."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from miniatures import jpeg, moving_boxes, write_boxes, write_frames
from one_sequence import names_of, read_dataset, read_one, refused
from video_files import encode

from lib.data.checking import CheckReport, Problem, check_dataset_on_disk
from lib.data.decoding.images import read_image
from lib.data.stores.index import open_dataset


def write_sequence(folder: Path, count: int = 4) -> np.ndarray:
    boxes = write_frames(folder, "%04d.jpg", 1, count)
    write_boxes(folder / "groundtruth.txt", boxes)
    return boxes


def write_video(file: Path, count: int = 4) -> np.ndarray:
    """A video of the frames that ``write_frames`` writes; their boxes."""
    encode(file, map(jpeg, range(count)), "mjpeg" if file.suffix == ".avi" else "libx264")
    return moving_boxes(count)


def only_problem(report: CheckReport) -> Problem:
    [problem] = report.splits[0].problems
    assert not report.good and problem.detail in report.text()
    return problem


def test_one_sequence(tmp_path):
    boxes = write_sequence(tmp_path / "car")
    sequence = read_one("own", "all", tmp_path / "car", "car")
    np.testing.assert_array_equal(sequence.boxes, boxes)
    assert sequence.visible.all() and sequence.absent is None


def test_sequences_in_a_folder_and_in_splits(tmp_path):
    for folder in ("train/car", "train/car10", "train/car9", "test/car"):
        write_sequence(tmp_path / folder)
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    assert names_of("own", "all", tmp_path) == ["test_car", "train_car", "train_car9", "train_car10"]
    assert names_of("own", "train", tmp_path) == ["car", "car9", "car10"]
    assert names_of("own", "all", tmp_path / "train") == ["car", "car9", "car10"]
    assert names_of("own", "car9", tmp_path / "train") == ["car9"]
    assert read_one("own", "train", tmp_path, "car9").frames[0] == tmp_path / "train" / "car9" / "0001.jpg"


def test_images_of_any_kind_in_the_order_of_their_numbers(tmp_path):
    names = ["frame 1.JPG", "frame 2.png", "frame 9.webp", "frame 10.bmp", "frame 11.jpeg", "frame 100.tif"]
    image = cv2.imdecode(np.frombuffer(jpeg(0), np.uint8), cv2.IMREAD_COLOR)
    for name in names:
        assert cv2.imwrite(str(tmp_path / name), image)
    (tmp_path / "._frame 1.JPG").touch()
    write_boxes(tmp_path / "groundtruth.txt", moving_boxes(6))
    (tmp_path / "masks").mkdir()
    sequence = read_one("own", "all", tmp_path, tmp_path.name)
    assert [frame.name for frame in sequence.frames] == names
    assert [read_image(frame).shape for frame in sequence.frames] == [(72, 96, 3)] * 6


def test_one_row_is_the_first_frames_and_others_may_be_invisible(tmp_path):
    write_sequence(tmp_path / "a")
    write_sequence(tmp_path / "b")
    (tmp_path / "a" / "groundtruth.txt").write_text("1,2,3,4\n")
    (tmp_path / "b" / "groundtruth.txt").write_text("1,2,3,4\nnan,nan,nan,nan\n0,0,0,0\n1,2,3,4\n")
    first, second = read_dataset("own", "all", tmp_path)
    assert (len(first), first.boxes.shape) == (4, (1, 4))
    np.testing.assert_array_equal(second.visible, [True, False, False, True])


@pytest.mark.parametrize(("video", "boxes", "name"), [
    ("clip.avi", "groundtruth.txt", "mine"),
    ("clip.AVI", "clip.txt", "clip"),
    ("clip.mp4", "clip.txt", "clip"),
    ("car/clip.avi", "car/groundtruth.txt", "car"),
    ("car/clip.avi", "car/clip.txt", "car_clip"),
    ("train/car/clip.avi", "train/car/groundtruth.txt", "train_car"),
])  # fmt: skip
def test_videos(tmp_path, video, boxes, name):
    root, cache = tmp_path / "mine", tmp_path / "cache"
    truth = write_video(root / video)
    write_boxes(root / boxes, truth)
    sequence = read_one("own", "all", root, name, cache)
    assert len(sequence) == 4 and sequence.frames.folder.parent == cache / "videos"
    np.testing.assert_array_equal(sequence.boxes, truth)
    image = read_image(sequence.frames[2])
    left, top, width, height = truth[2].astype(int)
    inside = image[top + 3 : top + height - 3, left + 3 : left + width - 3]
    assert inside.mean() > image.mean() + 50  # the target is bright


def test_videos_and_folders_side_by_side(tmp_path):
    for name in ("b2.avi", "b10.mkv.avi"):
        write_boxes(tmp_path / f"{Path(name).stem}.txt", write_video(tmp_path / name))
    write_sequence(tmp_path / "a")
    assert names_of("own", "all", tmp_path) == ["a", "b2", "b10.mkv"]
    assert [len(sequence) for sequence in read_dataset("own", "all", tmp_path, tmp_path / "cache")] == [4, 4, 4]


def test_neither_another_video_nor_a_cache_that_was_emptied_goes_unseen(tmp_path):
    root, cache = tmp_path / "mine", tmp_path / "cache"
    write_boxes(root / "clip.txt", write_video(root / "clip.avi"))
    for _ in range(2):
        [sequence] = open_dataset("own", "all", root, cache)
        assert read_image(sequence.frames[3]).shape == (72, 96, 3)
    for frame in sequence.frames:
        frame.unlink()
    sequence.frames.folder.rmdir()
    [sequence] = open_dataset("own", "all", root, cache)
    assert read_image(sequence.frames[3]).shape == (72, 96, 3)
    write_boxes(root / "clip.txt", write_video(root / "clip.avi", 7)[:1])
    [sequence] = open_dataset("own", "all", root, cache)
    assert len(sequence) == 7


# What a user may do wrong


def test_a_split_that_is_not_there(tmp_path):
    write_sequence(tmp_path / "train" / "car")
    refused("own", "tarin", tmp_path, "own data has no split 'tarin'; it has 'all', and each folder in there")


def test_no_sequence(tmp_path):
    refused(
        "own", "all", tmp_path, r"no sequence in there; a sequence is images, or a video, in one folder with ground"
    )
    refused("own", "all", tmp_path / "nothing", "nothing: No such file")


def test_images_or_a_video_without_boxes(tmp_path):
    write_frames(tmp_path / "a" / "car", "%04d.jpg", 1, 3)
    refused("own", "all", tmp_path / "a", r"car/groundtruth\.txt: no such file; a sequence is images, or a video")
    write_video(tmp_path / "b" / "clip.avi")
    refused("own", "all", tmp_path / "b", r"b/clip\.txt: no such file; a sequence is images, or a video")


def test_boxes_without_images(tmp_path):
    write_sequence(tmp_path / "a" / "img")
    write_boxes(tmp_path / "a" / "groundtruth.txt", moving_boxes(4))
    refused("own", "all", tmp_path, r"a: no image and no videos beside groundtruth\.txt; .*; images are \.jpg, \.jpeg")


def test_several_videos_beside_one_groundtruth(tmp_path):
    for name in ("a.avi", "b.avi"):
        write_video(tmp_path / "car" / name)
    write_boxes(tmp_path / "car" / "groundtruth.txt", moving_boxes(4))
    refused("own", "all", tmp_path, r"car: 2 videos beside groundtruth\.txt; .* or video\.mp4 beside video\.txt")


def test_a_lost_frame_is_an_error_or_a_note(tmp_path, caplog):
    """A note where each image that is there has its row."""
    root, cache = tmp_path / "mine", tmp_path / "cache"
    boxes = write_sequence(root / "car", 5)
    (root / "car" / "0003.jpg").unlink()
    for rows in (boxes, boxes[:1]):
        write_boxes(root / "car" / "groundtruth.txt", rows)
        refused("own", "all", root, r"car: 0004\.jpg follows 0002\.jpg: 1 frame\(s\) of it are lost; copy or unpack")
    write_boxes(root / "car" / "groundtruth.txt", np.delete(boxes, 2, axis=0))
    for _ in range(2):  # from the texts, and from the index
        caplog.clear()
        [sequence] = open_dataset("own", "all", root, cache)
        assert [frame.name for frame in sequence.frames] == ["0001.jpg", "0002.jpg", "0004.jpg", "0005.jpg"]
        assert caplog.text.count("0004.jpg follows 0002.jpg: 1 frame(s) of it are lost") == 1
    assert only_problem(check_dataset_on_disk("own", root, cache=cache))[:2] == ("short", "car")


def test_a_damaged_video_is_said_each_time_and_checked(tmp_path, caplog):
    root, cache = tmp_path / "mine", tmp_path / "cache"
    write_boxes(root / "clip.txt", write_video(root / "clip.avi", 30)[:1])
    data = bytearray((root / "clip.avi").read_bytes())
    frame, after = [place for place in range(len(data)) if data[place : place + 2] == b"\xff\xd8"][12:14]
    data[frame : after - 8] = bytes(after - 8 - frame)
    (root / "clip.avi").write_bytes(data)
    for _ in range(2):
        caplog.clear()
        [sequence] = open_dataset("own", "all", root, cache)
        said = f"clip.avi: its header states 30 frames, {len(sequence)} could be read"
        assert len(sequence) < 30 and caplog.text.count(said) == 1
        problem = only_problem(check_dataset_on_disk("own", root, cache=cache))
        assert problem[:3] == ("short", "clip", 1) and said in problem.detail


@pytest.mark.parametrize("name", ["clip.m4v", "clip.WMV", "clip"])
def test_what_is_left_out_beside_its_boxes_is_named(tmp_path, name):
    write_sequence(tmp_path / "car")
    write_boxes(tmp_path / "clip.txt", moving_boxes(1))
    if name == "clip":  # frames of a kind that is not read
        (tmp_path / name).mkdir()
        (tmp_path / name / "0001.heic").touch()
    else:
        (tmp_path / name).touch()
    assert names_of("own", "all", tmp_path) == ["car", "clip"]
    message = rf"{name}: boxes of its name lie beside it, but it is left out; images are \.jpg, .* videos are \.mp4, "
    refused("own", "all", tmp_path, message, "clip")
    (tmp_path / "clip.txt").write_text("notes on the clip\n")
    assert names_of("own", "all", tmp_path) == ["car"]


def test_texts_of_other_things_are_no_boxes_of_a_lost_video(tmp_path):
    boxes = write_video(tmp_path / "clip.avi")
    for name in ("clip.txt", "clip.json", "notes.md", "notes.txt", "car.txt"):
        write_boxes(tmp_path / name, boxes)
    write_sequence(tmp_path / "car")
    write_boxes(tmp_path / "car" / "0001.txt", boxes[:1])  # labels of single images
    (tmp_path / "clip.m4v").touch()  # whose video is there in another format
    assert names_of("own", "all", tmp_path) == ["car", "clip"]


@pytest.mark.parametrize(("text", "message"), [
    ("1,2,3,4\n1,2,3,4\n", r"groundtruth\.txt: 2 rows for 4 frames; write one for each frame, or the first"),
    ("x,y,w,h\n1,2,3,4\n", r"groundtruth\.txt: line 1 is 'x,y,w,h', not 4 numbers; a line is x,y,w,h"),
    ("", r"groundtruth\.txt: is empty; a line is x,y,w,h"),
])  # fmt: skip
def test_wrong_rows(tmp_path, text, message):
    write_sequence(tmp_path / "car")
    (tmp_path / "car" / "groundtruth.txt").write_text(text)
    refused("own", "all", tmp_path, message)


def test_names_that_meet(tmp_path):
    write_sequence(tmp_path / "a" / "b_c")
    write_sequence(tmp_path / "a_b" / "c")
    assert only_problem(check_dataset_on_disk("own", tmp_path))[:2] == ("names", "a_b_c")


def test_links_that_lead_back(tmp_path):
    write_sequence(tmp_path / "train" / "car")
    (tmp_path / "train" / "back").symlink_to(tmp_path)
    refused("own", "all", tmp_path, r"train/back/train: lies too deep, or is a link that leads back; sequences are")
    (tmp_path / "train" / "back").unlink()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    refused("own", "all", tmp_path, "loop: a link that leads nowhere, or to itself; remove it")


def test_a_video_without_a_cache_or_that_is_none(tmp_path):
    write_boxes(tmp_path / "clip.txt", write_video(tmp_path / "clip.avi"))
    refused(
        "own", "all", tmp_path, r"clip\.avi: the frames of a video are unpacked into a cache, and there is none here"
    )
    (tmp_path / "clip.avi").write_text("no video")
    with pytest.raises(ValueError, match=r"clip\.avi: no video that FFmpeg knows"):
        read_dataset("own", "all", tmp_path, tmp_path / "cache")
