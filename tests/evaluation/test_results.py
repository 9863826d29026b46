"""Results are read back bit for bit and never mixed; a sequence is finished when its box file is whole."""

import errno
import json
import os
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lib.data.types import Sequence
from lib.evaluation.results.folder import ResultsFolder, open_results
from lib.inference.engine import Failure, Track
from lib.runtime.checkpoint import checksum_of

MakeSequence = Callable[..., Sequence]


def track_of(sequence: Sequence, seed: int = 0) -> Track:
    generator = np.random.default_rng(seed)
    boxes = generator.normal(100, 50, (len(sequence), 4))
    boxes[0] = sequence.boxes[0]
    return Track(boxes, *generator.random((3, len(sequence))))


def open_toy(output: Path, checkpoint: Path | None, label: str | None = None, **settings: object) -> ResultsFolder:
    return open_results(output, "grm_toy", "got10k_val", checkpoint, settings, "cpu", label=label)


def write_checkpoint(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def test_written_results_are_read_back_exactly(tmp_path: Path, make_sequence: MakeSequence) -> None:
    sequence = make_sequence("a", frames=5, first=(10 + 1 / 3, 12.1, 16, 14))
    written = track_of(sequence)
    written.boxes[1] = (0.1, 1e-7, 1 / 3, 123456.789012345)
    folder = open_toy(tmp_path, None)
    assert not folder.is_finished(sequence)
    folder.write(sequence, written)
    assert folder.is_finished(sequence)
    np.testing.assert_array_equal(folder.boxes(sequence), written.boxes)
    assert (folder.path / "a.txt").read_text().splitlines()[1] == "0.1,1e-07,0.3333333333333333,123456.789012345"
    columns = {"scores": written.scores, "time": written.seconds, "network_time": written.network_seconds}
    for suffix, column in columns.items():
        np.testing.assert_array_equal(np.loadtxt(folder.path / f"a_{suffix}.txt"), column)
    np.testing.assert_array_equal(folder.seconds(sequence), written.seconds)
    np.testing.assert_array_equal(folder.seconds(sequence, network=True), written.network_seconds)
    times = folder.path / "a_time.txt"
    times.write_text("".join(times.read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(ValueError, match="a_time.txt: 3 lines for 5 frames; track the sequence again"):
        folder.seconds(sequence)


def test_another_checkpoint_or_setting_gets_another_folder(tmp_path: Path) -> None:
    one = write_checkpoint(tmp_path, "GRM_ep0300.pth.tar", b"one")
    twin = write_checkpoint(tmp_path, "twin.pth", b"one")
    two = write_checkpoint(tmp_path, "last.pth", b"two")
    folders = [
        open_toy(tmp_path, one, threshold=0.0),
        open_toy(tmp_path, one, threshold=0.4),
        open_toy(tmp_path, two, threshold=0.0),
        open_toy(tmp_path, None, threshold=0.0),
        open_toy(tmp_path, None, label="static", threshold=0.0),
    ]
    again = open_toy(tmp_path, one, threshold=0.0)
    assert len({folder.path for folder in folders}) == len(folders)
    assert again.path == folders[0].path
    assert again.path.parent == tmp_path / "grm_toy" / "results" / "got10k_val"
    labels, digests = zip(*(folder.path.name.rsplit("-", 1) for folder in folders), strict=True)
    assert labels == ("GRM_ep0300", "GRM_ep0300", "last", "no_checkpoint", "static")
    assert all(len(digest) == 8 and int(digest, 16) >= 0 for digest in digests)
    assert open_toy(tmp_path, twin, threshold=0.0).path.name == f"twin-{digests[0]}"
    assert (folders[0].checksum(), folders[3].checksum()) == (checksum_of(one), None)


def test_a_manifest_nested_without_end_is_one_line(tmp_path: Path) -> None:
    folder, levels = open_toy(tmp_path, None), 200_000
    for text in ('{"runs": ' + "[" * levels + "]" * levels + "}", '{"a":' * levels):
        (folder.path / "manifest.json").write_text(text)
        for read in (folder.manifest, lambda: open_toy(tmp_path, None)):
            with pytest.raises(ValueError, match="manifest.json: cannot be read .*; move its folder away") as error:
                read()
            assert "\n" not in str(error.value)


def test_the_manifest_states_the_origin_of_the_results_and_each_run(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path, "last.pth", b"abc")
    settings = {"test": {"window": "none"}, "model": {"division": {"threshold": 0.4}}, "sizes": (1, 2)}
    for _ in range(2):
        folder = open_results(
            tmp_path, "grm_toy", "got10k_val", checkpoint, settings, "cpu", overrides={"model.division.threshold": 0.4}
        )
    manifest = json.loads((folder.path / "manifest.json").read_text())
    assert manifest == folder.manifest()
    assert manifest["checkpoint_sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert manifest["settings"] == {**settings, "sizes": [1, 2]}
    assert manifest["overrides"] == {"model.division.threshold": 0.4}
    assert manifest["protocol"] == "got10k"
    assert [run["checkpoint"] for run in manifest["runs"]] == [str(checkpoint)] * 2
    assert manifest["runs"][0]["device"] == "cpu"
    assert set(manifest["runs"][0]["versions"]) == {"python", "numpy", "opencv", "tracking-lib"}
    assert manifest["runs"][0]["hardware"] == platform.machine()
    words = {"hardware": "a large one", "versions": {"torch": "2"}}
    [run] = open_results(tmp_path, "grm_toy", "got10k_val", None, {}, "cuda:1", **words).manifest()["runs"]
    assert (run["device"], run["hardware"], run["versions"]["torch"]) == ("cuda:1", "a large one", "2")


def test_a_folder_of_other_settings_is_never_reused(tmp_path: Path) -> None:
    folder = open_toy(tmp_path, None, threshold=0.0)
    file = folder.path / "manifest.json"
    manifest = folder.manifest()
    file.write_text(json.dumps({**manifest, "settings": {"threshold": 1.0}}))
    with pytest.raises(ValueError, match="other settings"):
        open_toy(tmp_path, None, threshold=0.0)
    for damaged in ("{", "[]", "{}"):
        file.write_text(damaged)
        with pytest.raises(ValueError, match="manifest.json"):
            open_toy(tmp_path, None, threshold=0.0)


@pytest.mark.parametrize("damage", ["shorter", "longer", "no end", "empty", "binary"])
def test_a_damaged_box_file_is_not_finished(tmp_path: Path, make_sequence: MakeSequence, damage: str) -> None:
    sequence, folder = make_sequence("a"), open_toy(tmp_path, None)
    folder.write(sequence, track_of(sequence))
    file = folder.path / "a.txt"
    lines = file.read_text().splitlines(keepends=True)
    content = {
        "shorter": "".join(lines[:3]),
        "longer": "".join([*lines, lines[0]]),
        "no end": "".join(lines)[:-1],
        "empty": "",
        "binary": b"\xff\xfe\x00",
    }[damage]
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert not folder.is_finished(sequence)
    with pytest.raises(ValueError, match="a.txt") as caught:
        folder.boxes(sequence)
    assert "\n" not in str(caught.value)


def test_results_of_other_data_under_the_same_name_are_not_finished(
    tmp_path: Path, make_sequence: MakeSequence
) -> None:
    sequence, folder = make_sequence("a"), open_toy(tmp_path, None)
    folder.write(sequence, track_of(sequence))
    other = replace(sequence, boxes=sequence.boxes + [0, 0.5, 0, 0])
    assert folder.is_finished(sequence)
    assert not folder.is_finished(other)


def test_integers_are_written_on_request_beside_the_floats(tmp_path: Path, make_sequence: MakeSequence) -> None:
    sequence, folder = make_sequence("a", first=(10.9, 12.1, 16, 14)), open_toy(tmp_path, None)
    track = track_of(sequence)
    track.boxes[1] = (-0.9, -7.5, 1e7 + 0.9, 0.5)
    folder.write(sequence, track)
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    folder.write_legacy_int(sequence)
    written = (folder.path / "legacy_int" / "a.txt").read_text()
    assert written.splitlines()[:2] == ["10\t12\t16\t14", "0\t-7\t10000000\t0"]
    theirs = tmp_path / "theirs.txt"  # pytracking's and OSTrack's own call
    np.savetxt(theirs, np.array(track.boxes).astype(int), delimiter="\t", fmt="%d")
    assert theirs.read_text() == written
    assert {path.name: path.read_bytes() for path in folder.path.iterdir() if path.is_file()} == before


def test_a_box_that_is_not_finite_has_no_integers(tmp_path: Path, make_sequence: MakeSequence) -> None:
    sequence, folder = make_sequence("a"), open_toy(tmp_path, None)
    with pytest.raises(ValueError, match=r"a\.txt: cannot be read"):
        folder.write_legacy_int(sequence)
    track = track_of(sequence)
    track.boxes[2, 1] = np.nan
    folder.write(sequence, track)
    with pytest.raises(ValueError, match="legacy_int/a.txt: the box of frame 2 is not finite"):
        folder.write_legacy_int(sequence)
    assert not (folder.path / "legacy_int").exists()


def test_a_full_disk_is_one_line_and_keeps_the_earlier_result(
    tmp_path: Path, make_sequence: MakeSequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequence, folder = make_sequence("a"), open_toy(tmp_path, None)
    folder.write(sequence, track_of(sequence, seed=1))
    before = {path: path.read_bytes() for path in folder.path.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left.*a_scores.txt") as caught:
        folder.write(sequence, track_of(sequence, seed=2))
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in folder.path.iterdir()} == before


def test_failures_are_noted_one_after_the_other(tmp_path: Path) -> None:
    folder = open_toy(tmp_path, None)
    for name in ("a", "a\nb\x1b\udcd0"):
        folder.note_failure(name, Failure("a reason\nin two", "a\n\x1btraceback"))
        assert folder.failure(name).reason == "a reason\nin two"
    lines = (folder.path / "failures.log").read_text(encoding="utf-8").splitlines()
    assert [line.partition("+00:00 ")[2] for line in lines[::4]] == [
        r"a: a reason\nin two", r"a\nb\x1b\udcd0: a reason\nin two",
    ]  # fmt: skip
    assert lines[1:4] == ["a", r"\x1btraceback", ""]
    (folder.path / "a.failed").write_text("{")
    assert folder.failure("a") is None, "a damaged note is none"
    (folder.path / "failures.log").unlink()
    (folder.path / "failures.log").mkdir()
    with pytest.raises(OSError, match="failures.log"):
        folder.note_failure("c", Failure("a reason", "a traceback"))


def test_the_box_file_is_written_last(
    tmp_path: Path, make_sequence: MakeSequence, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequence, folder = make_sequence("a"), open_toy(tmp_path, None)
    order = []
    rename = os.replace
    monkeypatch.setattr(os, "replace", lambda source, target: (order.append(Path(target).name), rename(source, target)))
    folder.write(sequence, track_of(sequence))
    assert order[-1] == "a.txt"
    assert sorted(order) == ["a.txt", "a_network_time.txt", "a_scores.txt", "a_time.txt"]


def test_a_name_that_is_too_long_for_the_disk_is_refused(tmp_path: Path, make_sequence: MakeSequence) -> None:
    folder = open_toy(tmp_path, None)
    most = os.pathconf(tmp_path, "PC_NAME_MAX") - len("_network_time.txt")
    wide = "\u884c" * (most // 3)  # three bytes each
    names = ["a", "a" * most, "a" * (most + 1), wide, wide + "\u4eba", "a" * 5000]
    assert list(folder.refused(names)) == [names[2], names[4], names[5]]
    assert folder.refused(names)[names[2]].startswith(f"its name has {most + 1} bytes, too many for files of results")
    sequence = make_sequence(names[1])
    folder.write(sequence, track_of(sequence))  # the longest that is not refused can be kept
    folder.note_failure(names[1], Failure("a reason", ""))
    assert folder.is_finished(sequence) and folder.failure(names[1]).reason == "a reason"


def test_names_that_the_disk_does_not_distinguish_are_refused(tmp_path: Path) -> None:
    names = ["Car", "car", "bus", "BUS_time", "caf\u00e9", "cafe\u0301", "one"]
    folder = open_toy(tmp_path, None)
    assert folder.refused(names) == {}
    (folder.path / "MANIFEST.JSON").touch()  # as on a disk that ignores case
    assert sorted(folder.refused(names)) == sorted(names[:-1])
    assert folder.refused(names[::2]) == {}
