"""A dataset's files: what was asked is recorded, so that a change of any of it shows."""

import os
import pickle
from pathlib import Path

import pytest

from lib.data.files.source import Source
from lib.data.stores.packed import open_source


@pytest.fixture
def root(tmp_path) -> Path:
    root = tmp_path / "data"
    (root / "b").mkdir(parents=True)
    (root / "b" / "list.txt").write_text("1\n2\n")
    (root / "a.txt").write_bytes(b"caf\xe9")
    return root


def test_answers(root):
    source = open_source(root)
    assert source.text("b/list.txt") == "1\n2\n" and source.text("a.txt") == "caf\N{REPLACEMENT CHARACTER}"
    assert source.names() == ["a.txt", "b"] and source.names("b") == ["list.txt"]
    assert source.exists("b") and source.exists("a.txt") and not source.exists("c")
    assert source.is_folder("b") and not source.is_folder("a.txt") and not source.is_folder("c")


ASK = {
    "text": lambda source: source.text("b/list.txt"),
    "names": lambda source: source.names("b"),
    "names of the root": lambda source: source.names(),
    "exists": lambda source: source.exists("c"),
    "is_folder": lambda source: source.is_folder("b"),
}
CHANGE = {
    "text": lambda root: (root / "b" / "list.txt").write_text("1\n2\n3\n"),
    "names": lambda root: (root / "b" / "more.txt").touch(),
    "names of the root": lambda root: (root / "a.txt").unlink(),
    "exists": lambda root: (root / "c").touch(),
    "is_folder": lambda root: (root / "b").rename(root / "d"),
}


@pytest.mark.parametrize("kind", ASK)
def test_what_was_asked_is_recorded_and_a_change_shows(root, kind):
    source = open_source(root)
    for path in (root, root / "b", root / "b" / "list.txt"):
        os.utime(path, ns=(10**18, 10**18))  # long ago, so that the change is not within the clock's tick
    ASK[kind](source)
    ((key, stamp),) = source.stamps.items()
    assert source.peek(key) == stamp
    CHANGE[kind](root)
    assert source.peek(key) != stamp and source.stamps == {key: stamp}


def test_a_stamp_is_size_and_time(root):
    os.utime(root / "a.txt", ns=(5, 7))
    assert open_source(root).peek("a.txt") == (4, 7)
    assert open_source(root).peek("b/none") is None and open_source(root).peek("a.txt/none") is None


def test_a_key_leads_to_a_location_and_back(root, tmp_path):
    source = open_source(root)
    for location in (root, root / "b", root / "b" / "list.txt", tmp_path / "elsewhere", tmp_path / "data2", Path("/")):
        assert source.location(source.key_of(location)) == location
    assert source.key_of(root / "b" / "list.txt") == "b/list.txt" and source.key_of(root) == ""
    assert source.key_of(tmp_path / "data2" / "x") == str(tmp_path / "data2" / "x")
    assert Source(Path("/")).key_of(root) == str(root)[1:]


@pytest.mark.parametrize("ask", [Source.text, Source.names])
def test_what_cannot_be_read_is_one_line(root, ask):
    (root / "loop").symlink_to("loop")
    reasons = {"none": "No such file", "loop": "Too many levels of symbolic links", "x" * 300: "File name too long"}
    for key, reason in reasons.items():
        with pytest.raises(ValueError, match=rf"data/{key}: {reason}.*check the dataset's path") as error:
            ask(open_source(root), key)
        assert "\n" not in str(error.value)
        assert not open_source(root).exists(key) and not open_source(root).is_folder(key)


def test_a_source_can_be_sent_to_another_process(root):
    source = pickle.loads(pickle.dumps(open_source(root)))
    assert source.text("b/list.txt") == "1\n2\n"
