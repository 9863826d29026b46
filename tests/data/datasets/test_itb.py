"""ITB's layout in miniature."""

import numpy as np
from miniatures import write_boxes, write_frames
from one_sequence import names_of, read_one, refused


def test_a_video_is_read(tmp_path):
    boxes = write_frames(tmp_path / "Scene_1" / "dog", "%04d.jpg", 1, 12)
    write_boxes(tmp_path / "Scene_1" / "dog" / "groundtruth.txt", boxes, " ")
    sequence = read_one("itb", "test", tmp_path, "dog")
    assert [frame.name for frame in sequence.frames] == [f"{number:04d}.jpg" for number in range(1, 13)]
    np.testing.assert_array_equal(sequence.boxes, boxes)


def test_what_is_a_scene_and_what_its_videos_are_called(tmp_path):
    for video in ("Scene_1/dog", "Scene_1/cat", "Scene_2/dog", "old.Scene/bird"):
        (tmp_path / video).mkdir(parents=True)
    (tmp_path / "readme.txt").touch()
    (tmp_path / "LICENCE").touch()
    (tmp_path / "Scene_2" / "notes.txt").touch()
    assert names_of("itb", "test", tmp_path) == ["cat", "Scene_1_dog", "Scene_2_dog"]


def test_broken_copies(tmp_path):
    boxes = write_frames(tmp_path / "Scene_1" / "dog", "%04d.jpg", 1, 3)
    refused("itb", "test", tmp_path, r"dog/groundtruth\.txt: No such file")
    write_boxes(tmp_path / "Scene_1" / "dog" / "groundtruth.txt", boxes[:2])
    refused("itb", "test", tmp_path, r"dog/groundtruth\.txt: 2 rows, but its sequence needs 3")
