"""profile_data.py at toy size: which rows it measures and prints, whatever the speed."""

import json
import os
import re
import signal
import time

import pytest

from lib.data.decoding.images import DECODERS
from lib.profiling import samples


@pytest.mark.slow
def test_every_store_and_decoder_is_measured(call, tmp_path, monkeypatch):
    for name, less in {"_ROUNDS": 2, "_LOADER_ROUNDS": 1, "_PROFILED": 4, "_GROUP": 4}.items():
        monkeypatch.setattr(samples, name, less)
    folder, file = tmp_path / "made", tmp_path / "profile.json"
    folder.mkdir()
    words = ["--seconds", 0.05, "--sequences", 1, "--frames", 20, "--folder", folder, "--json", file]
    ended = call("profile_data.py", *words)
    assert ended.code == 0, ended.err
    content = json.loads(file.read_text())
    installed = {name for name, decoder in DECODERS.items() if decoder.is_installed()}
    expected = {("straightforward", "cv2.imread")}
    expected |= {(store, decoder) for store in ("folder", "lmdb", "crops") for decoder in installed}
    rows = {(row["store"], row["decoder"]): row for row in content["tables"]["samples"]["rows"]}
    assert rows.keys() == expected
    for (store, decoder), row in rows.items():
        shares = [row[name] for name in (*samples.PACKAGES, "rest")]
        assert row["pairs/s"] > 0 and (store == "straightforward" or sum(shares) == pytest.approx(1))
        assert (row["missed"] is not None) == (store == "crops")
        assert re.search(rf"^{store} +{decoder} +[\d.]+ ", ended.out, re.M), row
    loader = content["tables"]["loader"]["rows"]
    assert [row["store"] for row in loader] == ["folder", "lmdb", "crops"] and all(row["ratio"] > 0 for row in loader)
    assert content["settings"]["frames"] == 20
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind(start, tmp_path):
    """As a terminal sends it, to the whole group, while contestants make samples."""
    with start("profile_data.py", "--seconds", 100, "--sequences", 1, "--frames", 20, "--folder", tmp_path) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("*/crops/full")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(2)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert [line for line in err.splitlines() if " INFO " not in line] == ["stopped; the temporary data are removed"]
    assert list(tmp_path.iterdir()) == []


def test_sigterm_leaves_nothing_behind_either(call, tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "write_footage", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    ended = call("profile_data.py", "--folder", tmp_path)
    assert (ended.code, ended.errors) == (143, ["stopped; the temporary data are removed"])
    assert list(tmp_path.iterdir()) == []


def test_a_report_is_printed_before_its_file_is_written(call, tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "_write_stores", lambda *_: {})
    monkeypatch.setattr(samples, "_race", lambda *_: [{"store": "folder", "pairs/s": 321.0}])
    monkeypatch.setattr(samples, "_loader_row", lambda *_: {"store": "folder", "1 worker": 123.0})
    ended = call("profile_data.py", "--folder", tmp_path, "--json", tmp_path)
    assert ended.code == 1 and "321.0" in ended.out and "Is a directory" in ended.errors[0]


@pytest.mark.parametrize("words", ["--seconds 0", "--frames 19", "--sequences 0", "--index 9", "--second 3"])
def test_wrong_arguments_are_exit_code_2(call, words):
    assert call("profile_data.py", *words.split()).code == 2


def test_a_folder_that_is_not_there_is_one_line(call, tmp_path):
    assert str(tmp_path / "nowhere") in call("profile_data.py", "--folder", tmp_path / "nowhere").error
