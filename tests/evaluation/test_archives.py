"""Archives of results: whole ones are read; any fault of one is an error of one line."""

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.evaluation.results import result_files
from lib.evaluation.results.result_files import archive_files

FILES = {"grm/a.txt": b"1,2,3,4\n" * 400, "grm/b.txt": b"", "README.md": "Größe".encode()}


def make_zip(file: Path, files: dict[str, bytes] | None = None, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in (FILES if files is None else files).items():
            archive.writestr(name, content)
    return file


def read_all(file: Path) -> dict[str, bytes]:
    return {name: read() for name, read in archive_files(file).items()}


def error_of(call: Callable[..., object], *words: object) -> str:
    with pytest.raises(ValueError) as caught:
        call(*words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_was_packed_is_read(tmp_path: Path, method: int) -> None:
    file = make_zip(tmp_path / "a.zip", {"grm/": b"", **FILES}, method)
    assert read_all(file) == FILES
    assert list(archive_files(file)) == list(FILES)


def test_a_leading_dot_and_double_slashes_are_the_same_name(tmp_path: Path) -> None:
    assert read_all(make_zip(tmp_path / "a.zip", {"./x//y.txt": b"1"})) == {"x/y.txt": b"1"}
    assert "x/y.txt is in it twice" in error_of(
        archive_files, make_zip(tmp_path / "b.zip", {"x/y.txt": b"1", "./x/y.txt": b"2"})
    )


def test_a_name_that_leads_elsewhere_is_only_a_name(tmp_path: Path) -> None:
    names = ("../evil.txt", "x/../../evil.txt", "/evil.txt", "C:\\evil.txt", "line\nbreak.txt")
    assert tuple(read_all(make_zip(tmp_path / "a.zip", dict.fromkeys(names, b"evil")))) == names
    assert list(tmp_path.iterdir()) == [tmp_path / "a.zip"]
    file = make_zip(tmp_path / "b.zip", {"good.txtX/../../evil": b"1"})
    file.write_bytes(file.read_bytes().replace(b"good.txtX", b"good.txt\0"))
    assert list(read_all(file)) == ["good.txt\0/../../evil"], "not cut at the zero byte, as Python does"


def test_a_file_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a.txt", "1")
        archive.writestr("a.txt", "2")
    assert error_of(archive_files, tmp_path / "a.zip").startswith(f"{tmp_path / 'a.zip'}: a.txt is in it twice")


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    file = make_zip(tmp_path / "a.zip", {"a.txt": b"secret"})
    content = bytearray(file.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flags in the central directory
    file.write_bytes(content)
    assert "is encrypted" in error_of(read_all, file)


def test_absurd_sizes_are_refused_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = make_zip(tmp_path / "a.zip", {"small.txt": b"1", "bomb.txt": bytes(2_000_000)})
    assert file.stat().st_size < 5000
    monkeypatch.setattr(result_files, "MEMBER_BYTES", 1_000_000)
    assert "bomb.txt would unpack to 2000000 bytes" in error_of(archive_files, file)
    monkeypatch.setattr(result_files, "MEMBER_BYTES", 3_000_000)
    assert len(read_all(file)["bomb.txt"]) == 2_000_000
    monkeypatch.setattr(result_files, "TOTAL_BYTES", 2_000_000)
    assert "2000001 with those before it" in error_of(archive_files, file)


@pytest.mark.parametrize("announced", [10, 3_000])
def test_a_member_of_another_size_than_announced_is_damage(tmp_path: Path, announced: int) -> None:
    """A stream may hold far more than the archive says; no more than that is ever unpacked."""
    file = make_zip(tmp_path / "a.zip", {"a.txt": b"1,2,3,4\n" * 250})
    content = bytearray(file.read_bytes())
    for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", content, content.index(signature) + place, announced)
    file.write_bytes(content)
    assert error_of(read_all, file).startswith(f"{file}: a.txt ")


def test_cut_short_anywhere_is_one_line(tmp_path: Path) -> None:
    content = make_zip(tmp_path / "a.zip").read_bytes()
    file = tmp_path / "cut.zip"
    for length in (0, 1, 30, len(content) // 2, len(content) - 10):
        file.write_bytes(content[:length])
        assert error_of(archive_files, file).startswith(f"{file}: not a whole zip archive")
    assert "No such file" in error_of(archive_files, tmp_path / "absent.zip")
    assert error_of(archive_files, tmp_path).startswith(f"{tmp_path}: not a whole zip archive")


def test_damage_within_is_one_line(tmp_path: Path) -> None:
    content = make_zip(tmp_path / "a.zip").read_bytes()
    file = tmp_path / "damaged.zip"
    noticed = 0
    for place in range(0, len(content), 5):
        file.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            members = read_all(file)
        except ValueError as error:
            noticed += 1
            assert "\n" not in str(error)
        else:  # in times, versions and the like, or in the list of members; in no content
            assert set(members.values()) <= set(FILES.values())
    assert noticed > len(content) / 5 / 2
