"""AVisT's layout in miniature."""

import numpy as np
from miniatures import write_boxes, write_frames
from one_sequence import names_of, read_one, refused

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


def test_broken_copies(tmp_path):
    refused("avist", "test", tmp_path, r"anno/Phasmid_insect_camouflage\.txt: No such file")
    write_avist(tmp_path)
    (tmp_path / "out_of_view" / f"{NAME}_out_of_view.txt").write_text("0,0,0")
    refused("avist", "test", tmp_path, r"air_show_out_of_view\.txt: 3 flags, but its sequence needs 4", NAME)
    (tmp_path / "full_occlusion" / f"{NAME}_full_occlusion.txt").unlink()
    refused("avist", "test", tmp_path, r"air_show_full_occlusion\.txt: No such file", NAME)
