from __future__ import annotations

import pytest

from lib.runtime.files import file_sha256, is_utf8, replacing, write_text


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


def test_names_that_are_no_utf8_are_told_from_others(tmp_path):
    assert is_utf8(tmp_path / "\u884c" / "a.mp4")
    assert not is_utf8(tmp_path / "\udcd0" / "a.mp4")
