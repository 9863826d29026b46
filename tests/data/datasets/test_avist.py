"""AVisT's layout in miniature."""

import numpy as np
from miniatures import write_boxes, write_frames
from one_sequence import names_of, read_one

from lib.data.decoding.images import read_image

NAME = "air_show"


def write_avist(root) -> np.ndarray:
    boxes = write_frames(root / "sequences" / NAME, "img_%05d.jpg", 1, 4)
    write_boxes(root / "anno" / f"{NAME}.txt", boxes, " ")
    for flags, values in (("full_occlusion", "0,1,0,0"), ("out_of_view", "0,0,0,1")):
        (root / flags).mkdir()
        (root / flags / f"{NAME}_{flags}.txt").write_text(values)
    return boxes


def test_the_list_is_the_published_one(tmp_path):
    names = names_of("avist", "test", tmp_path)
    assert len(names) == len(set(names)) == 120


def test_a_sequence_is_read_with_its_flags(tmp_path):
    boxes = write_avist(tmp_path)
    boxes[2, 3] = 0
    write_boxes(tmp_path / "anno" / f"{NAME}.txt", boxes, " ")
    sequence = read_one("avist", "test", tmp_path, NAME)
    np.testing.assert_array_equal(sequence.boxes, boxes)
    np.testing.assert_array_equal(sequence.absent, [False, True, False, True])
    np.testing.assert_array_equal(sequence.visible, [True, False, False, False])
    assert read_image(sequence.frames[3]).shape == (72, 96, 3)
