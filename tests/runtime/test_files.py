import subprocess
import sys
from pathlib import Path

import pytest

from lib.runtime.files import file_sha256, new_folder, replacing, utf8_name, write_text


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


def test_errors_name_the_file_that_was_to_be_written(tmp_path):
    with pytest.raises(IsADirectoryError) as error, replacing(tmp_path) as file:
        file.write(b"new")
    assert error.value.filename == str(tmp_path)
    with pytest.raises(OSError) as error, replacing(tmp_path / "scores.txt"):
        raise OSError(28, "No space left on device")
    assert error.value.filename == str(tmp_path / "scores.txt") and not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="^its own words$"), replacing(tmp_path / "scores.txt"):
        raise OSError("its own words")


def test_a_file_of_a_killed_process_is_removed_and_one_being_written_is_kept(tmp_path):
    path, own = tmp_path / "scores.txt", tmp_path / "notes.tmp"
    (tmp_path / ".0123456789ab.tmp").write_text("left over")
    own.write_text("of the user")
    with replacing(path) as first:
        first.write(b"first")
        with replacing(path) as second:
            second.write(b"second")
            assert len(list(tmp_path.glob(".*.tmp"))) == 2
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert {file.name for file in tmp_path.iterdir()} == {"scores.txt", "notes.tmp"}


def test_a_folder_that_is_not_there_is_named_with_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone/scores.txt"), replacing(tmp_path / "gone" / "scores.txt"):
        raise AssertionError


def test_the_longest_name_of_a_disk_can_be_written(tmp_path):
    write_text(tmp_path / ("a" * 255), "text")
    assert [len(file.name) for file in tmp_path.iterdir()] == [255]


WRITE = """
import sys
from pathlib import Path
from lib.runtime.files import replacing
for _ in range(100):
    with replacing(Path(sys.argv[1])) as file:
        file.write(sys.argv[2].encode() * 10_000)
"""


def test_writers_at_once_each_leave_a_whole_file(tmp_path):
    path = tmp_path / "scores.txt"
    started = [subprocess.Popen([sys.executable, "-c", WRITE, path, letter]) for letter in "abc"]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    content = path.read_text()
    assert len(content) == 10_000 and len(set(content)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["scores.txt"]


def test_text_makes_its_folder_and_a_refusal_names_the_file(tmp_path):
    write_text(tmp_path / "run" / "config.yaml", "seed: 1\n")
    assert (tmp_path / "run" / "config.yaml").read_text() == "seed: 1\n"
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OSError, match="taken/config.yaml"):
        write_text(tmp_path / "taken" / "config.yaml", "seed: 1\n")


def test_a_folder_has_its_name_when_it_is_complete(tmp_path):
    folder, left = tmp_path / "made" / "set", tmp_path / "made" / ".set.unfinished"
    left.mkdir(parents=True)
    (left / "old").touch()  # of a killed process
    with pytest.raises(KeyboardInterrupt), new_folder(folder) as unfinished:
        assert list(unfinished.iterdir()) == []
        raise KeyboardInterrupt
    assert list(folder.parent.iterdir()) == []
    with new_folder(folder) as unfinished:
        (unfinished / "new").touch()
        assert not folder.exists()
    assert [path.name for path in folder.parent.rglob("*")] == ["set", "new"]


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
