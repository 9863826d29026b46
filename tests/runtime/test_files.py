from __future__ import annotations

from pathlib import Path

import pytest

from lib.runtime.files import file_sha256, replacing, utf8_name, write_text


def test_whole_content_takes_the_place_of_the_earlier(tmp_path):
    path = tmp_path / "scores.txt"
    path.write_text("earlier")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_text() == "earlier"
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["scores.txt"]


def test_a_failure_leaves_the_earlier_file_alone(tmp_path):
    path = tmp_path / "scores.txt"
    path.write_text("earlier")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_text() == "earlier"
    assert [file.name for file in tmp_path.iterdir()] == ["scores.txt"]


def test_what_a_killed_process_left_is_overwritten(tmp_path):
    path = tmp_path / "scores.txt"
    (tmp_path / "scores.txt.tmp").write_text("left over, and longer than the new content")
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["scores.txt"]


def test_text_makes_its_folder_and_a_refusal_names_the_file(tmp_path):
    write_text(tmp_path / "run" / "config.yaml", "seed: 1\n")
    assert (tmp_path / "run" / "config.yaml").read_text() == "seed: 1\n"
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OSError, match="taken/config.yaml"):
        write_text(tmp_path / "taken" / "config.yaml", "seed: 1\n")


def test_sha256(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("name", ["\u884c", "\udcd0"])
def test_a_folder_has_a_name_in_utf8(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "a").write_text("b")
    with utf8_name(folder) as other:
        assert other.encode() and Path(other, "a").read_text() == "b"
    assert (other == str(folder)) == (name == "\u884c")
    assert Path(other, "a").exists() == (name == "\u884c"), "its descriptor is closed"
