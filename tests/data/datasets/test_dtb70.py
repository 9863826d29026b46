"""DTB70's layout in miniature."""

import numpy as np
from miniatures import write_boxes, write_frames
from one_sequence import names_of, read_one, refused

from lib.data.datasets.registry import DATASETS


def test_a_sequence_is_read(tmp_path):
    boxes = write_frames(tmp_path / "Gull1" / "img", "%05d.jpg", 1, 3)
    write_boxes(tmp_path / "Gull1" / "groundtruth_rect.txt", boxes)
    (tmp_path / "readme.txt").touch()
    assert names_of("dtb70", "test", tmp_path) == ["Gull1"]
    np.testing.assert_array_equal(read_one("dtb70", "test", tmp_path, "Gull1").boxes, boxes)
    assert DATASETS["dtb70"].expected == {"test": 70}


def test_a_folder_with_images_or_boxes_needs_both(tmp_path):
    boxes = write_frames(tmp_path / "Gull1" / "img", "%05d.jpg", 1, 3)
    refused("dtb70", "test", tmp_path, r"Gull1/groundtruth_rect\.txt: No such file")
    write_boxes(tmp_path / "Sheep2" / "groundtruth_rect.txt", boxes)
    refused("dtb70", "test", tmp_path, r"Sheep2/img: No such file", "Sheep2")
