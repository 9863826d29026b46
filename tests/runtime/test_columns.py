"""Tables for a terminal."""

from lib.runtime.columns import columns


def test_words_stand_left_and_numbers_right():
    assert columns(["name", "ms", "", "note"], [["a", "1.25", "-", ""], ["longer", "10", "2", "x"]]) == [
        "name      ms     note",
        "a       1.25  -",
        "longer    10  2  x",
    ]
