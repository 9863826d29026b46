"""Names in the order of their numbers, orders that nobody can know, and numbers that show a frame to be lost."""

import itertools

import pytest

from lib.data.datasets.order import is_image, natural_order, order_frames, shorten
from lib.data.types import NumberedNames


@pytest.mark.parametrize("names", [
    ["9.jpg", "10.jpg", "11.jpg"],
    ["1.5.png", "2.25.png", "2.5.png", "10.0.png"],
    ["-2.jpg", "-1.jpg", "0.jpg", "1.jpg"],
    ["-1.5.jpg", "-1.25.jpg", "+0.5.jpg", "2.jpg"],
    ["t_-2.jpg", "t_-1.jpg", "t_0.jpg"],
    ["2,25.jpg", "2,5.jpg", "10,0.jpg"],
    ["frame-8.jpg", "frame-9.jpg", "frame-10.jpg"],  # no signs, but dashes
    ["2024-1-9.jpg", "2024-1-10.jpg", "2024-2-1.jpg"],
    ["1.9.3.jpg", "1.10.2.jpg", "2.1.1.jpg"],  # no decimals
    ["1305031102.175304.png", "1305031102.211214.png", "1305031102.9.png"],
    ["frame 1.JPG", "frame 2.png", "frame 3.webp", "frame 4.jpeg"],
    ["0001_blurred.jpg", "0002.jpg", "0003_b7.jpg"],
    ["cam1_9.jpg", "cam1_10.jpg"],
        ["٩.jpg", "١٠.jpg", "١١.jpg"],
    ["9_1403636579.jpg", "10_1403636620.jpg"],
    ["a.jpg", "b.jpg", "c.jpg"],
    ["x1a.jpg", "x1b.jpg"],
    ["only.jpg"],
])  # fmt: skip
def test_frames_come_in_the_order_of_their_numbers(names):
    for shuffled in itertools.permutations(names, len(names)):
        ordered, note = order_frames(list(shuffled), "car")
        assert list(ordered) == names and note == ""
    assert sorted(sorted(names), key=natural_order) == names


@pytest.mark.parametrize(("names", "message"), [
    (["1.jpg", "1.png", "2.jpg"], "1.jpg and 1.png are one frame twice; remove one"),
    (["a.jpg", "a.png"], "a.jpg and a.png are one frame twice"),
    (["1.jpg", "01.jpg", "2.jpg"], "01.jpg and 1.jpg are one frame twice"),
    (["1.jpg", "1.JPG"], "1.JPG and 1.jpg are one frame twice"),
    # Not decimals but numbers of takes and frames, since these are as many by value.
    ([f"1.{number}.jpg" for number in range(1, 11)], "1.1.jpg and 1.10.jpg are one frame twice"),
    (["left_1.jpg", "left_2.jpg", "right_1.jpg", "right_2.jpg"], "left_2.jpg or right_1.jpg comes first is ambiguous"),
    (["1_left.jpg", "1_right.jpg", "2_left.jpg"], "1_left.jpg or 1_right.jpg comes first is ambiguous"),
    (["1.jpg", "2.jpg", "preview.jpg"], "2.jpg or preview.jpg comes first is ambiguous"),
    (["1.jpg", "1 (1).jpg", "2.jpg"], r"1.jpg or 1 \(1\).jpg comes first is ambiguous"),
    (["frame-1.jpg", "frame0.jpg", "frame1.jpg"], "frame1.jpg or frame-1.jpg comes first is ambiguous"),
    (["3fa9.jpg", "c41.jpg", "d07e.jpg"], "comes first is ambiguous; name the images by the numbers of their frames"),
    (["-1.jpg", "-2.jpg", "-3.jpg"], "-3.jpg or -1.jpg comes first is ambiguous"),  # signs, or dashes before 1, 2, 3
])  # fmt: skip
def test_an_order_that_nobody_can_know_is_refused(names, message):
    for given in (names, names[::-1]):
        with pytest.raises(ValueError, match=f"^car: .*{message}") as caught:
            order_frames(given, "car")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("numbers", "before", "after", "lost"), [
    ([1, 2, 4, 5], 2, 4, 1),
    ([1, 2, 4, 6, 8], 2, 4, 3),
    ([300, 301, 305], 301, 305, 3),
    ([0, 5, 10, 20], 10, 20, 1),
    ([-3, -2, 0, 1], -2, 0, 1),
])  # fmt: skip
@pytest.mark.parametrize("pattern", ["{}.jpg", "frame_{}.jpg", "cam2 ({}) x.jpg", "{}_7.jpg"])
def test_a_lost_frame_is_refused(numbers, before, after, lost, pattern):
    names = [pattern.format(number) for number in numbers]
    with pytest.raises(ValueError) as caught:
        order_frames(names[::-1], "car", rows=len(names) - 1)
    found = f"car: {pattern.format(after)} follows {pattern.format(before)}: {lost} frame(s) of it are lost; copy or"
    assert str(caught.value).startswith(found)
    ordered, note = order_frames(names[::-1], "car", rows=len(names))
    assert list(ordered) == names and note == str(caught.value)


@pytest.mark.parametrize("numbers", [
    range(300, 310),
    range(0, 50, 5),
    [1403636579763555584, 1403636579813555456, 1403636579863555584],  # nanoseconds
    [33, 67, 100, 133, 200],  # milliseconds
    ["0.5", "1.0", "2.0"],  # seconds
    [7],
])  # fmt: skip
def test_other_starts_steps_and_times_are_no_loss(numbers):
    names = [f"{number}.jpg" for number in numbers]
    assert list(order_frames(names, "car")[0]) == names


def test_a_number_that_must_be_first():
    names = ["00000002.jpg", "00000003.jpg"]
    with pytest.raises(ValueError, match="^car: the first frame is 00000002.jpg, not number 1; copy or unpack"):
        order_frames(names, "car", first=1)
    with pytest.raises(ValueError, match="not number 1"):
        order_frames(names[:1], "car", first=1)
    with pytest.raises(ValueError, match="3.jpg follows 1.jpg: 2 frame"):  # no step but 1
        order_frames(["1.jpg", "3.jpg", "5.jpg"], "car", first=1)
    assert list(order_frames(names, "car", first=2)[0]) == names


def test_images_by_their_suffix():
    names = ["a.JPG", "b.png", "c.gif", ".d.jpg", "._e.jpg", "jpg", "f.txt"]
    assert [name for name in names if is_image(name)] == ["a.JPG", "b.png"]


@pytest.mark.parametrize("pattern", ["%08d.jpg", "%d.jpg", "img_%05d.png", "100%%_%03d.jpg"])
@pytest.mark.parametrize("first", [0, 8, 99])
def test_a_pattern_stands_for_names_in_a_row(pattern, first):
    names = [pattern % number for number in range(first, first + 5)]
    short = shorten(names)
    assert isinstance(short, NumberedNames) and list(short) == names
    for other in (names[::2], names[::-1], [*names, "last.jpg"], ["a", "b"], []):
        assert shorten(other) is other
