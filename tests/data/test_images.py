"""Reading an image: colours, and files that are none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lib.data.images import ImageError, read_image

PICTURE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8), (5, 5), 2)


def jpeg(*options: int) -> bytes:
    return cv2.imencode(".jpg", PICTURE, options)[1].tobytes()


def test_channels_are_red_green_blue(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), PICTURE[:, :, ::-1])
    image = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image, PICTURE)
    assert image.dtype == np.uint8 and image.flags.c_contiguous


def test_a_jpeg_is_read_as_by_imread(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg() + b"bytes after the end do no harm")
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), cv2.imread(str(tmp_path / "a.jpg"))[:, :, ::-1])


def test_a_grey_file_has_three_channels(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), PICTURE[:, :, 0])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.repeat(PICTURE[:, :, :1], 3, axis=2))


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpeg_cut_anywhere_is_an_error(tmp_path, progressive):
    data = jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    thumbnail = jpeg(cv2.IMWRITE_JPEG_QUALITY, 5)
    with_thumbnail = data[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + data[2:]
    file = tmp_path / "cut.jpg"
    for whole in (data, with_thumbnail):
        file.write_bytes(whole)
        read_image(file)
        for length in range(0, len(whole), 37):
            file.write_bytes(whole[:length])
            with pytest.raises(ImageError, match=r"cut\.jpg"):
                read_image(file)


@pytest.mark.parametrize("end", ["cut away", "zeros"])
def test_the_end_mark_of_a_jpeg_is_asked_for(tmp_path, monkeypatch, end):
    """Some versions of OpenCV return the truncated picture with a grey rest."""
    monkeypatch.setattr(cv2, "imdecode", lambda data, flags: PICTURE.copy())
    file = tmp_path / "a.jpg"
    file.write_bytes(jpeg())
    read_image(file)
    file.write_bytes(jpeg()[:-20] + (bytes(20) if end == "zeros" else b""))
    with pytest.raises(ImageError, match=r"a\.jpg: the image is truncated"):
        read_image(file)


@pytest.mark.parametrize("name", ["missing.jpg", "text.jpg", "empty.jpg", "cut.png", "folder.jpg"])
def test_what_is_no_image_is_named(tmp_path, name):
    (tmp_path / "text.jpg").write_text("404 not found")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "cut.png").write_bytes(cv2.imencode(".png", PICTURE)[1].tobytes()[:-30])
    with pytest.raises(ImageError) as error:
        read_image(tmp_path / name)
    assert name in str(error.value) and "\n" not in str(error.value)
