"""Every kind of file that is given as a checkpoint by mistake is called by its name, in one line with a remedy."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest

from lib.runtime.file_kinds import HEAD, kind_of, kind_of_zip, short


def tar() -> bytes:
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w") as archive:
        archive.addfile(tarfile.TarInfo("net.pth"))
    return file.getvalue()


PAGE = "<!DOCTYPE html>\n<html><head><title>\nGoogle Drive &ndash; Quota\nexceeded</title></head>"
KINDS = {
    "a tar archive; unpack it (tar -xf FILE) and name": tar(),
    "a gzip archive; unpack it": gzip.compress(tar()),
    "a bzip2 archive; unpack it": bz2.compress(b"x"),
    "an xz archive; unpack it": lzma.compress(b"x"),
    "a saved web page ('Google Drive – Quota\\nexceeded'); open": PAGE.encode(),
    "a saved web page; open the address": b"\xef\xbb\xbf  <HTML lang=de>" + b"\xc3\xa4" * HEAD,
    "a saved web page ('a')": b"<html><title>a</title>\xb1\xa1 in another encoding",
    "a text file that begins 'xä": b"x" + b"\xc3\xa4" * HEAD,
    "a Git LFS pointer; run `git lfs pull`": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
    "a text file that begins '{\"error\": 404}'": b'{"error": 404}\n',
    "a text file that begins '<Error>AccessDenied": b"<Error>AccessDenied</Error>" + b" " * HEAD,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_known_by_a_files_beginning(kind):
    found = kind_of(KINDS[kind][:HEAD])
    assert found.startswith(kind)
    assert found.isprintable()
    assert len(found) < 200


@pytest.mark.parametrize("head", [b"", bytes(500), b"\xff\xfe\x00", b"\x1b[31mred", bytes(range(256)) * 16])
def test_an_unknown_kind_has_no_name(head):
    assert kind_of(head) is None


def test_a_zip_archive_is_named_by_its_content():
    assert kind_of_zip(["__MACOSX/._a.pth", "weights/", "weights/a.pth"]).startswith(
        "a zip archive around weights/a.pth;"
    )
    assert "around a.pth.tar and 1 more; unzip it" in kind_of_zip(["a.pth.tar", "b.safetensors"])
    assert "this one has notes.txt" in kind_of_zip(["notes.txt"])
    with zipfile.ZipFile(io.BytesIO(), "w") as empty:
        assert "this one has nothing" in kind_of_zip(empty.namelist())


def test_text_of_a_file_is_short_and_one_line():
    assert short("a" * 80) == "a" * 80
    assert short("a" * 81) == "a" * 80 + "..."
    assert short("a\n\x1b[31mb") == "a\\n\\x1b[31mb"
