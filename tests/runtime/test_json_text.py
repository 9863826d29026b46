"""JSON of any origin: what is wrong with it is one line, however deep it is."""

import json

import pytest

from lib.runtime.json_text import parse_json


def test_a_text_is_read_as_by_the_library():
    value = {"a": [1, 2.5, None, {"b": "x"}], "c": {}}
    for text in (json.dumps(value), json.dumps(value).encode()):
        assert parse_json(text) == value
    assert parse_json('{"a": {"b": 1}}', object_hook=lambda item: sorted(item)) == ["a"]


@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_is_one_line(begin, end):
    with pytest.raises(ValueError, match="^nested too deeply$"):
        parse_json(begin * 200_000 + "1" + end * 200_000)


@pytest.mark.parametrize("text", ["", "{", "nul", "[1,]", b"\xff"])
def test_another_text_than_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        parse_json(text)
