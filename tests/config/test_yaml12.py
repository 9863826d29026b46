"""Reading and writing YAML by the 1.2 core rules."""

import random
from typing import Any

import pytest

from lib.config import yaml12
from lib.config.schema import ConfigError
from lib.config.yaml12 import read_value, read_yaml, to_yaml

SCALARS = {
    "null": None,
    "Null": None,
    "~": None,
    "": None,
    "true": True,
    "TRUE": True,
    "False": False,
    "010": 10,
    "-7": -7,
    "+12": 12,
    "0o10": 8,
    "0x1F": 31,
    "1e-4": 1e-4,
    "1e3": 1000.0,
    ".5": 0.5,
    "-.5E+3": -500.0,
    "1.": 1.0,
    "!!float 3": 3.0,
    "!!str 3": "3",
    "'1'": "1",
    "no": "no",
    "yes": "yes",
    "on": "on",
    "off": "off",
    "tRue": "tRue",
    "=": "=",
    "<<": "<<",
    "1:30": "1:30",
    "1_000": "1_000",
    "0b11": "0b11",
    "2001-01-01": "2001-01-01",
    "\u0663": "\u0663",  # a digit elsewhere
}


@pytest.fixture
def read(tmp_path):
    def read_text(text: str | bytes) -> dict[str, Any]:
        file = tmp_path / "x.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_yaml(file)

    return read_text


def identical(a: Any, b: Any) -> bool:
    """Equal in every type, the order of keys and the sign of zero too."""
    return repr(a) == repr(b)


@pytest.mark.parametrize("text", SCALARS)
def test_scalars_follow_the_core_rules_in_files_and_in_values(read, text):
    assert identical(read(f"a: {text}\n"), {"a": SCALARS[text]})
    assert identical(read_value(text, "a", "command line"), SCALARS[text])


def test_keys_follow_the_same_rules(read):
    assert read("no: 1\n'1': 2\non: 3\n") == {"no": 1, "1": 2, "on": 3}


def test_nothing_is_an_empty_mapping(read):
    assert read("") == read("# only a comment\n") == read("---\n") == {}


def test_a_byte_order_mark_and_windows_lines_do_no_harm(read):
    assert read("\ufeffa: 1\r\nb: [x, {c: no}]\r\n") == {"a": 1, "b": ["x", {"c": "no"}]}


def test_an_anchor_is_a_value_and_a_merge_key_is_a_key(read):
    tree = read("a: &x {b: [1]}\nc: *x\nd: {<<: *x}\n")
    assert tree == {"a": {"b": [1]}, "c": {"b": [1]}, "d": {"<<": {"b": [1]}}}


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a:\n  b: 1\n  b: 2\n", 3, "repeated key 'b'; keep one"),
        ("a: 1\nb: 2\n'a': 3\n", 3, "repeated key 'a'"),
        ("a: 0\n1: a\n", 2, "the key 1 is not a word; put it in quotes"),
        ("a:\n  true: 3\n", 2, "the key True is not a word"),
        ("a: {~: 3}", 1, "the key None is not a word"),
        ("a: {? [1] : 3}", 1, "the key [1] is not a word"),
        ("a: 0\nb: .inf\n", 2, "could not convert string to float: '.inf'"),
        ("a: {b: [1, -.INF]}", 1, "'-.INF'"),
        ("a: .NaN", 1, "'.NaN'"),
        ("a: 1" + 5000 * "0", 1, "5001 digits"),
        ("b: 0\na: &x\n- *x\n", 2, "unconstructable recursive node"),
        ("a: !!int abc", 1, "invalid literal for int() with base 10: 'abc'"),
        ("a: !!set {b}", 1, "could not determine a constructor for the tag 'tag:yaml.org,2002:set'"),
        ("a: 0\nb: [!!timestamp 2001-01-01]", 2, "tag:yaml.org,2002:timestamp"),
        ("a: !!python/object:os.system x", 1, "tag:yaml.org,2002:python/object:os.system"),
        ("a: 1\nb: *x\n", 2, "undefined alias 'x'"),
        ("a: 0\nb: [1, 2\n", 3, "expected ',' or ']'"),
        ("a: 0\nb:\n\tc: 1\n", 3, "'\\t' that cannot start any token"),
        ("a: 1\n---\nb: 2\n", 2, "another document"),
        ("a: 0\nb: \x01\n", 2, "special characters are not allowed"),
        ("a: " + 2000 * "[" + 2000 * "]", 1, "nested too deeply"),
        ("a: " + 3000 * "{b: ", 1, "nested too deeply"),
        ("- " * 2000, 1, "nested too deeply"),
        ("a: 0\n" + 200_000 * "#", 1, "longer than 200000 characters"),
    ],
)
def test_an_error_names_file_and_line(read, tmp_path, text, line, reason):
    with pytest.raises(ConfigError) as caught:
        read(text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'x.yaml'}:{line}: ")
    assert reason in message
    assert "\n" not in message


@pytest.mark.parametrize("leaf", ["[]", "x", "{k: 1}", '"' + 500 * "x" + '"'])
def test_anchors_that_multiply_are_one_line(read, leaf, monkeypatch):
    """Nine uses of each of nine: 400 million values in half a kilobyte."""
    lines = [f"a0: &a0 {leaf}", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10))]
    monkeypatch.setattr(yaml12, "LONGEST", 9000)
    with pytest.raises(ConfigError, match=r"x.yaml:\d+: longer than \d+ characters with its anchors") as caught:
        read("\n".join(lines))
    assert "\n" not in str(caught.value)
    chain = "\n".join(["a0: &a0 [1]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 1500))])
    with pytest.raises(ConfigError, match="nested too deeply|longer than"):
        read(chain)


@pytest.mark.slow
def test_the_message_of_a_long_override_is_short():
    with pytest.raises(ConfigError) as caught:
        read_value("[" * 3000, "a.b", "command line")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("text", ["- 1\n", "3\n", "word\n"])
def test_the_top_level_is_a_mapping(read, text):
    with pytest.raises(ConfigError, match=r"x\.yaml: the top level is not a mapping"):
        read(text)


def test_a_file_that_cannot_be_read_is_named(read, tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=f"{tmp_path}: cannot be read: Is a directory"):
        read_yaml(tmp_path)
    with pytest.raises(ConfigError, match=r"x\.yaml: not UTF-8 text \(byte 3\)"):
        read(b"a: \xff")


def test_a_wrong_value_names_its_source_and_key():
    with pytest.raises(ConfigError) as caught:
        read_value("{x: 1, x: 2}", "a.b", "command line")
    assert str(caught.value).startswith("command line: a.b: got '{x: 1, x: 2}'; repeated key 'x'")


def test_written_text_is_for_reading():
    tree = {"train": {"lr": 1e-5, "off": None}, "data": [{"name": "no"}, "1e-4", "010", "~", 2.0, True], "empty": {}}
    assert to_yaml(tree) == (
        "train:\n  lr: 1e-05\n  off: null\ndata:\n- name: no\n- '1e-4'\n- '010'\n- '~'\n- 2.0\n- true\nempty: {}\n"
    )


def test_shared_parts_are_written_out():
    part = {"a": [1]}
    assert "&" not in to_yaml({"x": part, "y": part})


WORDS = (
    *SCALARS, ".inf", ".nan", "-", "?", ":", "a: b", "a:", "# c", "a #b", " x", "x ", "'", '"', "%Y", "@", "`", "*a",
    "&a", "!t", "---", "--- a", "...", "- x", "a\nb", "\n", "\n\nx", " \n x", "x\n ", "\t", "\r\n", "\x00", "\x85",
    "\u2028", "\ufeff", "\U0001f600", "{", "[", "a,b", "|", ">", 200 * "x", 120 * "x ", "\\", "\uffff",
)  # fmt: skip
LETTERS = " \t\n\r'\"\\#:-?[]{},&*!|>%@`abN0179.eExo~_=<\x85\u2028\ufeff\U0001f600\x07\u00e9"
NUMBERS = (0, -1, 2**70, 0.0, -0.0, 1.0, 1e-5, 1e16, 1e22, 5e-324, 1.7976931348623157e308, True, False, None)


def random_string(draw: random.Random) -> str:
    return draw.choice(WORDS) if draw.random() < 0.5 else "".join(draw.choices(LETTERS, k=draw.randrange(12)))


def random_value(draw: random.Random, depth: int) -> Any:
    kind = draw.randrange(8 if depth else 6)
    if kind < 3:
        return random_string(draw)
    if kind == 3:
        return draw.choice(NUMBERS)
    if kind == 4:
        return draw.randrange(-(10**6), 10**6)
    if kind == 5:
        return draw.uniform(-1, 1) * 10.0 ** draw.randrange(-320, 300)
    if kind == 6:
        return [random_value(draw, depth - 1) for _ in range(draw.randrange(4))]
    return random_tree(draw, depth - 1)


def random_tree(draw: random.Random, depth: int) -> dict[str, Any]:
    return {random_string(draw): random_value(draw, depth) for _ in range(draw.randrange(5))}


def test_any_tree_is_read_back_as_it_was_written(read):
    for seed in range(300):
        tree = random_tree(random.Random(seed), depth=2)
        assert identical(read(to_yaml(tree)), tree), f"seed {seed}"
