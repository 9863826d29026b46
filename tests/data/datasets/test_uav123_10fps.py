"""UAV123 at 10 frames a second: ranges of frames that follow from UAV123's."""

import numpy as np
from miniatures import moving_boxes, write_boxes
from one_sequence import names_of, read_one


def test_frame_numbers_are_the_videos(tmp_path):
    folder = tmp_path / "data_seq" / "UAV123_10fps" / "bird1"
    folder.mkdir(parents=True)
    for number in (259, 493):
        (folder / f"{number:06d}.jpg").touch()
    write_boxes(tmp_path / "anno" / "UAV123_10fps" / "bird1_2.txt", moving_boxes(235))
    sequence = read_one("uav123_10fps", "test", tmp_path, "bird1_2")
    assert [sequence.frames[i].name for i in (0, -1)] == ["000259.jpg", "000493.jpg"]
    np.testing.assert_array_equal(sequence.boxes, moving_boxes(235))
    names = names_of("uav123_10fps", "test", tmp_path)
    assert len(set(names)) == 123 and names[:4] == ["bike1", "bike2", "bike3", "bird1_1"]
